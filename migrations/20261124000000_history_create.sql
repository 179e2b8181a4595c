-- History of everything that ran: what was asked for, how it went, what came out of what.
-- Nothing here decides what runs (DESIGN, invariant 3), so every row can be lost and written again: ids and keys are derived from
-- what a row describes, never drawn, and every write is an upsert.
--
-- The schema `bedplate` is made by the migrator; every name is qualified, since connections run with an empty search_path.

CREATE TABLE bedplate.runs (
    id         uuid        PRIMARY KEY,
    origin     text        NOT NULL CHECK (origin <> ''),
    kind       text        NOT NULL CHECK (kind IN ('Dataset', 'TrainingJob', 'ModelDeployment')),
    namespace  text        NOT NULL CHECK (namespace <> ''),
    name       text        NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL,
    UNIQUE (origin, kind, namespace, name)
);
-- `bedplate runs NAME` and `bedplate lineage NAME` find a run by its name alone.
CREATE INDEX runs_name ON bedplate.runs (name);
COMMENT ON TABLE  bedplate.runs IS 'One resource that was run: a Dataset, a TrainingJob or a ModelDeployment.';
COMMENT ON COLUMN bedplate.runs.id IS 'uuid v5 of (origin, kind, namespace, name).';
COMMENT ON COLUMN bedplate.runs.origin IS 'Who may use the name again: the id of a state folder (bedplate run) or the uid of the resource (Kubernetes).';
COMMENT ON COLUMN bedplate.runs.created_at IS 'Start of its first attempt.';

CREATE TABLE bedplate.attempts (
    id              uuid             PRIMARY KEY,
    run_id          uuid             NOT NULL REFERENCES bedplate.runs (id) ON DELETE CASCADE,
    started_at      timestamptz      NOT NULL,
    ended_at        timestamptz,
    exit_code       integer,
    lost            boolean          NOT NULL DEFAULT false,
    ready_at        timestamptz,
    endpoint        text,
    completed_at    timestamptz,
    digest          text             CHECK (digest <> ''),
    failed_at       timestamptz,
    failure         text,
    failure_code    integer,
    max_steps       bigint           CHECK (max_steps >= 0),
    parameters      bigint           CHECK (parameters >= 0),
    memory_bytes    jsonb,
    spec            jsonb            NOT NULL,
    job             jsonb            NOT NULL,
    progress_offset bigint           NOT NULL CHECK (progress_offset >= 0),
    UNIQUE (run_id, started_at)
);
COMMENT ON TABLE  bedplate.attempts IS 'One process (or gang of processes) that worked on a run. A resumed run has several.';
COMMENT ON COLUMN bedplate.attempts.id IS 'uuid v5 of (run_id, started_at in microseconds).';
COMMENT ON COLUMN bedplate.attempts.ended_at IS 'When the process was seen to end; null while it runs.';
COMMENT ON COLUMN bedplate.attempts.exit_code IS 'Exit status (docs/exit-codes.md); null while it runs and where nobody saw it.';
COMMENT ON COLUMN bedplate.attempts.lost IS 'Whoever supervised it went away before it ended, so ended_at is the last sign of life.';
COMMENT ON COLUMN bedplate.attempts.ready_at IS 'When a ModelDeployment began to answer.';
COMMENT ON COLUMN bedplate.attempts.endpoint IS 'Base URL of the OpenAI-compatible endpoint of a ModelDeployment.';
COMMENT ON COLUMN bedplate.attempts.completed_at IS 'When the workload reported that its work was done.';
COMMENT ON COLUMN bedplate.attempts.digest IS 'Content digest of what it made: the Dataset or the final checkpoint.';
COMMENT ON COLUMN bedplate.attempts.failed_at IS 'When the workload reported that it ended early.';
COMMENT ON COLUMN bedplate.attempts.failure IS 'The sentence with which the workload ended early.';
COMMENT ON COLUMN bedplate.attempts.failure_code IS 'The exit status that the workload announced with it.';
COMMENT ON COLUMN bedplate.attempts.max_steps IS 'Steps of the whole job.';
COMMENT ON COLUMN bedplate.attempts.parameters IS 'Trainable parameters.';
COMMENT ON COLUMN bedplate.attempts.memory_bytes IS 'The accepted memory plan: bytes per named part.';
COMMENT ON COLUMN bedplate.attempts.spec IS 'The spec as it was for this attempt.';
COMMENT ON COLUMN bedplate.attempts.job IS 'The job file that was handed to the process.';
COMMENT ON COLUMN bedplate.attempts.progress_offset IS 'Bytes of the progress file that are in these tables; written with the rows, so a crash repeats nothing and skips nothing.';

-- The largest table: one row a step at full rate, so no surrogate key, no foreign index, fixed-width columns.
CREATE TABLE bedplate.step_metrics (
    attempt_id        uuid             NOT NULL REFERENCES bedplate.attempts (id) ON DELETE CASCADE,
    step              bigint           NOT NULL CHECK (step >= 0),
    at                timestamptz      NOT NULL,
    loss              double precision NOT NULL,
    grad_norm         double precision NOT NULL,
    learning_rate     double precision NOT NULL,
    tokens_per_second double precision NOT NULL,
    tokens            bigint           NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (attempt_id, step)
);
COMMENT ON TABLE  bedplate.step_metrics IS 'Figures of every training step.';
COMMENT ON COLUMN bedplate.step_metrics.step IS 'Steps done, this one included.';
COMMENT ON COLUMN bedplate.step_metrics.loss IS 'Mean negative log-likelihood of a target token, in nats.';
COMMENT ON COLUMN bedplate.step_metrics.grad_norm IS 'Global gradient norm before clipping.';
COMMENT ON COLUMN bedplate.step_metrics.tokens_per_second IS 'All ranks together, over the step.';
COMMENT ON COLUMN bedplate.step_metrics.tokens IS 'Tokens seen since the beginning of the job, all ranks together.';

CREATE TABLE bedplate.evaluations (
    attempt_id    uuid             NOT NULL REFERENCES bedplate.attempts (id) ON DELETE CASCADE,
    step          bigint           NOT NULL CHECK (step >= 0),
    at            timestamptz      NOT NULL,
    loss          double precision NOT NULL,
    bits_per_byte double precision NOT NULL,
    tokens        bigint           NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (attempt_id, step)
);
COMMENT ON TABLE  bedplate.evaluations IS 'Measurements of the hold-out.';
COMMENT ON COLUMN bedplate.evaluations.loss IS 'Mean negative log-likelihood of a token, in nats.';
COMMENT ON COLUMN bedplate.evaluations.tokens IS 'Predicted tokens.';

CREATE TABLE bedplate.dataset_stages (
    attempt_id    uuid        NOT NULL REFERENCES bedplate.attempts (id) ON DELETE CASCADE,
    stage         text        NOT NULL CHECK (stage <> ''),
    at            timestamptz NOT NULL,
    documents_in  bigint      NOT NULL CHECK (documents_in >= 0),
    documents_out bigint      NOT NULL CHECK (documents_out >= 0),
    bytes_out     bigint      NOT NULL CHECK (bytes_out >= 0),
    cached        boolean     NOT NULL,
    done          boolean     NOT NULL,
    PRIMARY KEY (attempt_id, stage)
);
COMMENT ON TABLE  bedplate.dataset_stages IS 'What each stage of a Dataset took in and let out: the newest report of it.';
COMMENT ON COLUMN bedplate.dataset_stages.at IS 'Time of the newest report; an older one never replaces a newer one.';
COMMENT ON COLUMN bedplate.dataset_stages.cached IS 'Skipped, since nothing it depends on had changed.';

CREATE TABLE bedplate.artefacts (
    digest        text        PRIMARY KEY CHECK (digest <> ''),
    kind          text        NOT NULL CHECK (kind IN ('Dataset', 'Checkpoint', 'Model')),
    uri           text,
    size_bytes    bigint      CHECK (size_bytes >= 0),
    first_seen_at timestamptz NOT NULL
);
COMMENT ON TABLE  bedplate.artefacts IS 'Everything that was made or used, by content digest: a Dataset, a checkpoint, a model file.';
COMMENT ON COLUMN bedplate.artefacts.digest IS 'Content digest in hex; the uri itself for a model whose content nobody hashed.';
COMMENT ON COLUMN bedplate.artefacts.uri IS 'Where it was last seen.';

CREATE TABLE bedplate.checkpoints (
    attempt_id uuid        NOT NULL REFERENCES bedplate.attempts (id) ON DELETE CASCADE,
    step       bigint      NOT NULL CHECK (step >= 0),
    at         timestamptz NOT NULL,
    digest     text        NOT NULL REFERENCES bedplate.artefacts (digest),
    path       text        NOT NULL,
    size_bytes bigint      NOT NULL CHECK (size_bytes >= 0),
    PRIMARY KEY (attempt_id, step)
);
CREATE INDEX checkpoints_digest ON bedplate.checkpoints (digest);
COMMENT ON TABLE  bedplate.checkpoints IS 'Checkpoints that became durable. History only: a trainer finds its newest one in its folder.';

-- Lineage in OpenLineage's shape: a run consumes and produces artefacts. Dataset digest -> training -> checkpoint -> deployment.
CREATE TABLE bedplate.lineage_edges (
    attempt_id uuid        NOT NULL REFERENCES bedplate.attempts (id) ON DELETE CASCADE,
    digest     text        NOT NULL REFERENCES bedplate.artefacts (digest),
    direction  text        NOT NULL CHECK (direction IN ('input', 'output')),
    at         timestamptz NOT NULL,
    PRIMARY KEY (attempt_id, direction, digest)
);
-- Walking from an artefact to who made it and who used it.
CREATE INDEX lineage_edges_digest ON bedplate.lineage_edges (digest, direction);
COMMENT ON TABLE  bedplate.lineage_edges IS 'Which attempt consumed (input) or produced (output) which artefact.';
