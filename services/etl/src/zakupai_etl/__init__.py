"""etl: procurement data from goszakup, from uploaded tables and from attachments."""
