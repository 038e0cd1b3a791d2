"""Prefect as the host of runs: what it shows of them, and what it learns.

Names that Prefect does not document are used where no public request does the same. For each file: the names, the
reason, and the request that would take their place.

- `flows/in_prefect/exit.py`: `_QueueServiceBase`, `_drain`. At exit Prefect's services wait for a server that is away,
  without a limit. Request: a setting for that wait.
- `flows/in_prefect/flow_run_events.py`: `emit_task_run_state_change_event`, `__var__`. Pings and rounds of a plain
  thread are shown with their true times, and belong to no task. Request: to record a task run, and to leave a task.
- `flows/in_prefect/one_request.py`: `SettingsContext`. A run tells Prefect things in passing, and may not wait for
  retries. Request: the number of retries as an option of a client.
- `flows/in_prefect/process_reuse.py`: `run_flow`. A process takes a further flow run that the server has. Request: to
  call a flow with a flow run.
- `flows/rescue/delivery.py`: `force=True`. The server refuses Completed after Cancelling, although the run had ended
  before. Request: a state with the time of the end.
- `local_stack/worker_process.py`: `_submit_run`, `_release_limit_slot`, `_submitting_flow_run_ids`,
  `_propose_crashed_state`, `_submit_run_and_capture_errors`, `propose_state`. One failed request ends a worker with
  its runs, or leaves a run as taken for ever, and a crash is reported twice. Request: a worker that goes on, and one
  report.
"""
