"""The web page to play with: make a person, search a gallery, walk through what was kept and discarded, read the study.

Plain functions say which picture, sheet and number is shown; `page` alone knows gradio. Nothing here trains or writes
into the folder that is shown, and no picture of a real person is shown unless that was asked for.
"""
