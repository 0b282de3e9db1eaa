"""SQL's own prepared statements, COPY from the client and the search path, as drivers send them."""

import asyncio
import io

import asyncpg
import psycopg
import psycopg2

with psycopg.connect("", autocommit=True) as db:
    db.execute("PREPARE p (int, text) AS SELECT $1 + 1, $2")
    assert db.execute("EXECUTE p (1, 'x')").fetchone() == (2, "x")
    assert db.execute("EXECUTE p (%s, %s)" % (2, "'y'"), prepare=True).fetchone() == (3, "y")
    db.execute("DEALLOCATE p")

    with db.cursor() as cursor:
        with cursor.copy("COPY ledger (word, n) FROM STDIN") as copy:
            for i in range(1000):
                copy.write_row((f"psycopg{i:04}", i % 100))
        assert cursor.rowcount == 1000
        with cursor.copy("COPY ledger (word, n) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "int4"])
            copy.write_row(("psycopg binary", 3))
        with cursor.copy("COPY ledger (word) FROM STDIN WHERE word <> %s", ("left out",)) as copy:
            copy.write_row(("psycopg parameter",))
            copy.write_row(("left out",))
    assert db.execute("SELECT count(*), sum(doubled) FROM ledger WHERE word LIKE 'psycopg0%'").fetchone() == (1000, 99000)
    assert db.execute("SELECT n FROM ledger WHERE word = 'psycopg parameter'").fetchone() == (7,)
    assert db.execute("SELECT count(*) FROM ledger WHERE word = 'left out'").fetchone() == (0,)
    for wrong in ("bad\tx\n", "bad\t1\t2\n", "\\N\t1\n"):
        try:
            with db.cursor() as cursor, cursor.copy("COPY ledger (word, n) FROM STDIN") as copy:
                copy.write(wrong)
        except psycopg.Error:
            pass
        else:
            raise AssertionError(wrong)
        assert db.execute("SELECT 1").fetchone() == (1,)
    try:
        with db.cursor() as cursor, cursor.copy("COPY ledger (word, n) FROM STDIN") as copy:
            copy.write("bad\t1\n")
            raise KeyError("mine")
    except KeyError:
        pass
    assert db.execute("SELECT count(*) FROM ledger WHERE word = 'bad'").fetchone() == (0,)

    db.execute("SET search_path TO a, public")
    for i in range(8):
        assert db.execute("SELECT word FROM here WHERE word <> %s", ("",)).fetchone() == ("in a",)
    with db.transaction(force_rollback=True):
        db.execute("SET search_path TO b")
        assert db.execute("SELECT word FROM here").fetchone() == ("in b",)
    assert db.execute("SELECT word FROM here").fetchone() == ("in a",)
    assert db.execute("SHOW search_path").fetchone() == ("a, public",)

    with db.cursor(name="held", withhold=True) as cursor:
        cursor.execute("SELECT order_id FROM public.customer_orders ORDER BY 1")
        assert cursor.fetchmany(2) == [(1,), (2,)]
        assert cursor.fetchall() == [(3,), (4,), (5,)]

db = psycopg2.connect("")
cursor = db.cursor()
cursor.copy_expert("COPY ledger (word, n) FROM STDIN CSV", io.StringIO("psycopg2 csv,1\npsycopg2 csv,2\n"))
assert cursor.rowcount == 2
cursor.copy_from(io.StringIO("psycopg2\t3\n"), "ledger", columns=("word", "n"))
db.commit()
cursor.execute("SELECT sum(n) FROM ledger WHERE word LIKE 'psycopg2%'")
assert cursor.fetchone() == (6,)
db.close()


async def main():
    db = await asyncpg.connect()
    records = [(f"asyncpg{i}", i) for i in range(10)]
    assert await db.copy_records_to_table("ledger", records=records, columns=["word", "n"]) == "COPY 10"
    source = io.BytesIO(b"asyncpg text\t10\n")
    assert await db.copy_to_table("ledger", source=source, columns=["word", "n"]) == "COPY 1"
    assert await db.fetchval("SELECT sum(n) FROM ledger WHERE word LIKE 'asyncpg%'") == 55
    try:
        await db.copy_records_to_table("ledger", records=[("asyncpg bad", 1000)], columns=["word", "n"])
    except asyncpg.CheckViolationError:
        pass
    else:
        raise AssertionError("the check did not hold")
    assert await db.fetchval("SELECT 1") == 1
    await db.close()


asyncio.run(main())
print("done")
