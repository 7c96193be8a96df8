"""`tracker watch`: a terminal screen of the running tracker.

`sync` asks the daemon and follows its events, `screen_model` holds what is shown, `render` writes it as
lines, `app` draws them and takes the keys. Called by the command line. Begin reading at `sync`.
"""
