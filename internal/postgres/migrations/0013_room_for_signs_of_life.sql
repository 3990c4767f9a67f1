-- +goose Up
-- Rows that are written every few seconds have room for their next version on the
-- same page, so that no index has to learn where it is.
ALTER TABLE machine SET (fillfactor = 50);
ALTER TABLE sequence_account SET (fillfactor = 50);
