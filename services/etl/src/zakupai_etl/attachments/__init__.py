"""Attachments: files from allowed hosts, fetched without trusting them."""
