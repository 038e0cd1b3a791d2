-- Prefect's database beside the journal's, for deployments/compose.yaml.
CREATE DATABASE prefect OWNER hybridloop ENCODING 'UTF8' TEMPLATE template0;
\connect prefect
CREATE EXTENSION IF NOT EXISTS pg_trgm;
