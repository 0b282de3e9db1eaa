"""psycopg2: everything goes through the simple protocol with literals put in by the client."""

import io

import psycopg2
import psycopg2.extras

db = psycopg2.connect("")
cursor = db.cursor()


def rows(sql, *arguments):
    cursor.execute(sql, *arguments)
    return cursor.fetchall()


def refused(state, work):
    try:
        work()
    except psycopg2.Error as error:
        assert error.pgcode == state, f"{error.pgcode} instead of {state}: {error}"
        db.rollback()
        return
    raise AssertionError(f"not refused with {state}")


sql = "SELECT order_id FROM customer_orders WHERE region = %s AND lastname <> %s ORDER BY 1"
assert rows(sql, ("US-EAST", "O'Re\\illy; DROP -- \u00e9")) == [(1,), (2,), (5,)]
assert rows("SELECT %s, %s::jsonb, %s", ([1, 2], psycopg2.extras.Json({"a": 1}), None)) == [([1, 2], {"a": 1}, None)]
assert bytes(rows("SELECT %s", (b"\x00\xff'\\",))[0][0]) == b"\x00\xff'\\"
assert psycopg2.extras.execute_values(cursor, "SELECT * FROM (VALUES %s) AS v (a, b)", [(1, "a"), (2, "b")], fetch=True)
psycopg2.extras.execute_batch(cursor, "SELECT %s", [(1,), (2,), (3,)])

with db.cursor("named") as named:
    named.itersize = 2
    named.execute("SELECT order_id FROM customer_orders ORDER BY order_id")
    assert [row[0] for row in named] == [1, 2, 3, 4, 5]
with db.cursor("scroll", scrollable=True) as named:
    named.execute("SELECT order_id FROM customer_orders ORDER BY order_id")
    named.scroll(2)
    assert named.fetchone() == (3,)
    named.scroll(-2)
    assert named.fetchone() == (2,)

buffer = io.StringIO()
cursor.copy_expert("COPY (SELECT order_id, lastname FROM customer_orders ORDER BY 1) TO STDOUT CSV", buffer)
assert buffer.getvalue().splitlines()[0] == "1,Abernathy"
buffer = io.StringIO()
cursor.copy_to(buffer, "customer_orders", columns=("order_id", "region"))
assert sorted(buffer.getvalue().splitlines())[0] == "1\tUS-EAST"

refused("42P01", lambda: rows("SELECT * FROM payroll"))
refused("42P01", lambda: rows("SELECT 1; SELECT * FROM payroll"))
refused("42501", lambda: cursor.copy_expert("COPY customer_orders FROM STDIN", io.StringIO("")))
held = db.cursor("held", withhold=True)
held.execute("SELECT 1")
db.commit()
assert held.fetchone() == (1,)
held.close()
refused("42501", lambda: db.set_client_encoding("LATIN1"))

db.set_session(readonly=True, isolation_level="REPEATABLE READ")
assert rows("SELECT 1") == [(1,)]
db.rollback()
db.set_session(readonly=False, autocommit=True)
assert rows("SELECT 1") == [(1,)]
db.set_client_encoding("UTF8")
# reset() rolls back and sends RESET ALL and SET SESSION AUTHORIZATION DEFAULT.
db.reset()
assert rows("SELECT count(*) FROM customer_orders") == [(5,)]
assert any("01L01" in str(note) or "limited by policy" in note for note in db.notices), db.notices
db.close()
print("done")
