-- What a runner wants to find again when it is asked to start an attempt another time.
ALTER TABLE attempts ADD COLUMN output_mark TEXT;
