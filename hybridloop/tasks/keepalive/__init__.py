"""Keep-alive: pings, the smallest jobs that a target takes, keep a session from idling out after ten minutes.

`rules` says when a ping is due and when a session is renewed instead; `keep_alive` applies that to whichever session of
the run is open; `pings` sends pings and records them in the journal.

No ping is sent while a library holds the interpreter, as a simulation of minutes may. If that takes longer than the ten
minutes, the session lapses, and the next job opens another one.
"""
