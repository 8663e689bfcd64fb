-- How a standby receives WAL; no row: it does not. Without a row here nothing may be called "no lag".
-- As a plain script, on a standby: psql -f sql/receiver.sql
SELECT status,
       received_tli,
       sender_host,
       sender_port
  FROM pg_stat_wal_receiver
