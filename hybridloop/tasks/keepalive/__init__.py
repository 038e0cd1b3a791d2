"""Keep-alive: pings, the smallest jobs that a target takes, keep a session from idling out after ten minutes.

`rules` says when a ping is due and when a session is renewed instead; `session_keep_alive` applies that to whichever
session of the run is open, and records each ping in the journal; `thread` waits and sends; `pings` has the jobs.

There are two senders, because neither can do the other's work. The thread records each ping, settles its bill and keeps
the virtual time of an emulator, but it stands still while a library holds the interpreter for minutes, as a simulation
may. So a standby process (`standby`, and `standby_process`, its program) holds some requests that are recorded and
signed beforehand, and sends them only if the thread does not put them off in time; it can do nothing else.
"""
