"""Where images come from: data sets, their files and downloads, drawn ones, and the pictures that users bring."""
