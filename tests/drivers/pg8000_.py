"""pg8000: a driver in pure Python that sends Flush and Sync in its own way."""

import io
import os

import pg8000.dbapi
import pg8000.native

where = {
    "user": os.environ["PGUSER"],
    "password": os.environ["PGPASSWORD"],
    "host": os.environ["PGHOST"],
    "port": int(os.environ["PGPORT"]),
    "database": os.environ["PGDATABASE"],
}
db = pg8000.native.Connection(**where)


def refused(state, work):
    try:
        work()
    except pg8000.exceptions.DatabaseError as error:
        assert error.args[0]["C"] == state, error
        return
    raise AssertionError(f"not refused with {state}")


assert db.run("SELECT lastname FROM customer_orders ORDER BY order_id")[0] == ["Abernathy"]
assert db.run("SELECT order_id FROM customer_orders WHERE region = :r ORDER BY 1", r="US-EAST") == [[1], [2], [5]]
refused("42P01", lambda: db.run("SELECT * FROM payroll"))
refused("42P01", lambda: db.run("SELECT * FROM payroll WHERE employee_id = :i", i=1))
refused("42703", lambda: db.run("SELECT nope FROM customer_orders WHERE order_id = :i", i=1))
refused("42501", lambda: db.run("SELECT pg_ls_dir(:d)", d="/"))
assert db.run("SELECT 1") == [[1]]
statement = db.prepare("SELECT lastname FROM customer_orders WHERE order_id = :i")
assert (statement.run(i=1), statement.run(i=2)) == ([["Abernathy"]], [["Brightwater"]])
statement.close()
db.run("START TRANSACTION")
refused("42P01", lambda: db.run("SELECT * FROM payroll"))
refused("25P02", lambda: db.run("SELECT 1"))
db.run("ROLLBACK")
buffer = io.StringIO()
db.run("COPY (SELECT order_id FROM customer_orders ORDER BY 1) TO STDOUT", stream=buffer)
assert buffer.getvalue() == "1\n2\n3\n4\n5\n"
db.close()

db = pg8000.dbapi.connect(**where)
cursor = db.cursor()
cursor.execute("SELECT order_id FROM customer_orders WHERE order_total > %s ORDER BY 1", (60,))
assert cursor.fetchall() == ([1], [2], [3], [4]) or cursor.rowcount == 4
cursor.executemany("SELECT %s::int", [(1,), (2,)])
db.rollback()
db.close()
print("done")
