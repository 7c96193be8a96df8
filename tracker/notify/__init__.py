"""Notifications to people through Apprise: which events are sent, in which words, and how they are delivered.

It follows the daemon's event feed and never delays a fill. Called by the daemon and by `tracker notify`.
Begin reading at `messages` for the words, at `sender` for the delivery; NOTIFICATIONS.md is for users.
"""
