"""The embedded CA: issues real certificates over CMP and checks what a real CA checks.

For demonstrations and for tests of clients; its keys lie unencrypted in its state folder.
"""
