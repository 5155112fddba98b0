"""From a finished study's folder to one HTML file that a person reads.

Here live the reader of a study's folder, the figures (inline SVG), the tables (each also a CSV file), the embedded
pictures and the page itself. It reads files only: nothing is computed anew, nothing is trained, and no network is
opened, neither when the report is written nor when it is read.
"""
