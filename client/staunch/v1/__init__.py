"""Generated from protos/staunch/v1; never edited by hand."""
