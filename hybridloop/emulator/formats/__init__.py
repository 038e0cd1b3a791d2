"""Input and output formats: QIR, OpenQASM 2, Quil and IonQ's JSON to programs, and outcomes to result documents."""
