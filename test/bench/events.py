"""events.py: the events that live features are of, and the windows of all rolling features.

A hot account with 50,000 events a day, a cold one with 100, and 10,000 others with 33,000
together.
"""
HOT, COLD, OTHERS = 0, -1, 10000                # accounts; the others are 1 to 10,000
PER_DAY = {"hot": 50000, "cold": 100, "others": 33000}
WINDOWS = {"1 hour": "1h", "24 hours": "24h", "7 days": "7d"}       # and what features call them

EVENTS = """
    SELECT setseed(0.5);
    CREATE TABLE live (id bigint, account bigint, at timestamptz, amount float8);
    INSERT INTO live
        SELECT row_number() OVER (ORDER BY at), account, at, amount FROM (
            SELECT account, floor(random() * 100000) AS amount,
                   timestamptz '2026-01-01' + random() * {days} * interval '1 day' AS at
            FROM (SELECT {hot} AS account FROM generate_series(1, {days} * {per_day[hot]})
                  UNION ALL SELECT {cold} FROM generate_series(1, {days} * {per_day[cold]})
                  UNION ALL SELECT 1 + floor(random() * {others})
                  FROM generate_series(1, {days} * {per_day[others]})) AS a) AS e ORDER BY at;
    CREATE INDEX ON live (account, at) INCLUDE (amount);
"""
