"""The tables of a journal; see `store` for the marks."""

from typing import Final

FORMAT: Final = 4
"""Goes up with each change that an older bulkcmp would misread."""

# rows stand in the order in which they were begun: in that of their random transactionIDs, each
# would be on a page of its own, to be written three times
TABLES: Final = """
CREATE TABLE meta (
  {run}key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY ({columns}key)
);
CREATE TABLE issuer (
  {run}id {serial},
  der {blob} NOT NULL,
  PRIMARY KEY ({columns}id)
);
CREATE TABLE row (
  {run}number INTEGER NOT NULL,
  line INTEGER NOT NULL,
  id TEXT NOT NULL,
  cmd TEXT,
  requested_subject {blob},
  key {blob},
  key_id INTEGER,
  out_name TEXT,
  out_pass {blob},
  transaction_id {blob},
  outcome TEXT,
  reason TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',
  pki_status BIGINT,
  fail_info TEXT NOT NULL DEFAULT '',
  status_text TEXT NOT NULL DEFAULT '',
  service DOUBLE PRECISION,
  request DOUBLE PRECISION,
  polling DOUBLE PRECISION,
  confirm DOUBLE PRECISION,
  attempts INTEGER NOT NULL DEFAULT 0,
  sends INTEGER NOT NULL DEFAULT 0,
  finished_at TEXT,
  delivery TEXT NOT NULL DEFAULT 'to do',
  delivery_attempts INTEGER NOT NULL DEFAULT 0,
  delivery_reason TEXT NOT NULL DEFAULT '',
  delivery_at TEXT,
  PRIMARY KEY ({columns}number)
);
CREATE INDEX row_open ON row ({columns}number) WHERE outcome IS NULL;
CREATE TABLE tx (
  {run}transaction_id {blob} NOT NULL,
  request_nonce {blob} NOT NULL,
  sent_nonce {blob} NOT NULL,
  received_nonce {blob},
  protection {blob} NOT NULL,
  deadline DOUBLE PRECISION NOT NULL,
  whole_waits BOOLEAN NOT NULL,
  PRIMARY KEY ({columns}transaction_id)
);
CREATE TABLE part (
  {run}transaction_id {blob} NOT NULL,
  number INTEGER NOT NULL,
  phase TEXT NOT NULL,
  cert_req_id BIGINT NOT NULL,
  check_at DOUBLE PRECISION NOT NULL,
  certificate {blob},
  chain TEXT NOT NULL DEFAULT '',
  -- DER GenRepContent
  infos {blob},
  granted TEXT,
  confirm BOOLEAN NOT NULL DEFAULT FALSE,
  -- while others of the transaction go on
  ended TEXT,
  outcome TEXT,
  reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY ({columns}transaction_id, number),
  FOREIGN KEY ({columns}transaction_id) REFERENCES tx,
  FOREIGN KEY ({columns}number) REFERENCES row
);
"""
