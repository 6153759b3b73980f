-- Limits, and a row for every allowed check until its window is over.
CREATE TABLE IF NOT EXISTS limits (key text PRIMARY KEY, units bigint NOT NULL, window_ms bigint NOT NULL);
CREATE TABLE IF NOT EXISTS spent (key text NOT NULL, at timestamptz NOT NULL, until timestamptz NOT NULL, cost bigint NOT NULL);
CREATE INDEX IF NOT EXISTS spent_by_key ON spent (key, at);
CREATE INDEX IF NOT EXISTS spent_by_end ON spent (until);

-- One check. The row of the limit is the lock: whoever holds it is alone with this key, on every replica, until the end of
-- the statement; each query below sees what the holder before has written. A cost of 0 only asks.
CREATE OR REPLACE FUNCTION spend(k text, c bigint) RETURNS TABLE (allowed boolean, used bigint, units bigint, window_ms bigint, wait_ms bigint)
LANGUAGE plpgsql AS $$
DECLARE
  most limits%ROWTYPE;
  now_is timestamptz;
  sum_of bigint;
  frees_at timestamptz;
BEGIN
  SELECT * INTO most FROM limits l WHERE l.key = k FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  now_is := clock_timestamp();
  SELECT coalesce(sum(s.cost), 0) INTO sum_of FROM spent s
    WHERE s.key = k AND s.at > now_is - make_interval(secs => most.window_ms / 1000.0);
  IF c > most.units THEN
    RETURN QUERY SELECT false, sum_of, most.units, most.window_ms, most.window_ms;
  ELSIF sum_of + c > most.units THEN
    -- There is room when enough of the oldest have left.
    SELECT o.at INTO frees_at FROM (
      SELECT s.at, sum(s.cost) OVER (ORDER BY s.at, s.ctid) AS gone FROM spent s
      WHERE s.key = k AND s.at > now_is - make_interval(secs => most.window_ms / 1000.0)
    ) o WHERE o.gone >= sum_of + c - most.units ORDER BY o.at LIMIT 1;
    RETURN QUERY SELECT false, sum_of, most.units, most.window_ms,
      greatest(0, ceil(extract(epoch FROM frees_at - now_is) * 1000 + most.window_ms))::bigint;
  ELSE
    IF c > 0 THEN
      INSERT INTO spent VALUES (k, now_is, now_is + make_interval(secs => most.window_ms / 1000.0), c);
    END IF;
    RETURN QUERY SELECT true, sum_of + c, most.units, most.window_ms, 0::bigint;
  END IF;
END $$;
