"""From a finished study's folder to one HTML file that a person reads.

Here live the reader of a study's folder, the figures (inline SVG), the tables (each also a CSV file), the embedded
pictures, the page itself and the page that compares studies. It reads files only: what it works out itself are prices
and differences of arms that the study did not hold against each other. Nothing is trained, and no network is opened,
neither when the report is written nor when it is read.
"""
