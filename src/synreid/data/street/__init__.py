"""The embedded set `street`: pedestrians drawn by our own code, seen by six cameras, with the truth about every
picture.

What lives here: who the persons are (`persons`), how they move (`body`), how they are dressed and drawn (`surfaces`,
`patterns`, `clothes`, `head`, `bags`, `figure`), what the cameras and their scenes are like (`cameras`, `scenes`,
`things`), who passes which camera when (`world`), one picture (`picture`) and the folder of all of them (`write`).
What does not: reading the folder back, which is the Market-1501 layout like any other.
"""
