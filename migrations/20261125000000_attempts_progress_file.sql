-- On a cluster a run may have several progress files at once, one for each pod of a ModelDeployment, and each is carried over on its own.

ALTER TABLE bedplate.attempts ADD COLUMN progress_file text NOT NULL DEFAULT '';
COMMENT ON COLUMN bedplate.attempts.progress_file IS 'Which of the progress files of the run the events are in; empty on a laptop, where there is but one.';
COMMENT ON COLUMN bedplate.attempts.progress_offset IS 'How much of the progress file is in these tables, in bytes (bedplate run) or lines (Kubernetes); written with the rows, so a crash repeats nothing and skips nothing.';
