"""psycopg 3: what an agent written against it does. Connection settings come from libpq's variables."""

import os
import socket
import ssl
import threading
import time
from decimal import Decimal

import psycopg
from psycopg.types import TypeInfo
from psycopg.types.enum import EnumInfo

NAMES = ["Abernathy", "Brightwater", "Castellanos", "Donnelly", "Eriksen"]
ORDERS = "SELECT order_id FROM customer_orders ORDER BY order_id"


def refused(state, work):
    try:
        work()
    except psycopg.Error as error:
        assert error.sqlstate == state, f"{error.sqlstate} instead of {state}: {error}"
        return error
    raise AssertionError(f"not refused with {state}")


notices = []
db = psycopg.connect("", options="-c statement_timeout=5000", application_name="psycopg test")
db.add_notice_handler(lambda d: notices.append((d.sqlstate, d.message_primary)))
assert db.info.server_version >= 150000 and db.info.encoding == "utf-8"
assert db.info.parameter_status("session_authorization") == "harper"
assert db.info.parameter_status("is_superuser") == "off"
assert db.info.parameter_status("application_name") == "psycopg test"
assert db.execute("SHOW statement_timeout").fetchone() == ("5s",)

# Plain and with parameters; the notice of a shaped result comes once.
for _ in range(2):
    rows = db.execute("SELECT lastname FROM customer_orders ORDER BY order_id").fetchall()
    assert [row[0] for row in rows] == NAMES
assert notices == [("01L01", "rows of public.customer_orders limited by policy own_region")], notices
sql = "SELECT order_id FROM customer_orders WHERE region = %s AND order_total > %s ORDER BY 1"
assert db.execute(sql, ("US-EAST", 60)).fetchall() == [(1,), (2,)]
described = db.execute("SELECT * FROM customer_orders").description
assert [(column.name, column.type_code) for column in described][:2] == [("order_id", 23), ("lastname", 1043)]

# The sixth use of a text becomes a named statement.
sql = "SELECT order_id FROM customer_orders WHERE order_id = %s"
assert [db.execute(sql, (i % 5 + 1,)).fetchone()[0] for i in range(12)] == [i % 5 + 1 for i in range(12)]
assert len(db._prepared._names) == 1
db.commit()

# Pipelines, and an error in the middle of one: what stands behind it does not run.
with db.pipeline() as pipeline:
    cursors = [db.execute("SELECT %s::int", (i,)) for i in range(50)]
    pipeline.sync()
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(50))
db.commit()
try:
    with db.pipeline() as pipeline:
        before, _, after = db.execute("SELECT 1"), db.execute("SELECT * FROM payroll"), db.execute("SELECT 2")
        pipeline.sync()
    raise AssertionError("payroll is visible")
except psycopg.errors.UndefinedTable:
    pass
assert db.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
db.rollback()

# Cursors in the server.
with db.cursor("srv") as cursor:
    cursor.execute("SELECT order_id FROM customer_orders WHERE order_total > %s ORDER BY 1", (10,))
    assert cursor.fetchmany(2) == [(1,), (2,)]
    assert cursor.fetchall() == [(3,), (4,), (5,)]
with db.cursor("scroll", scrollable=True) as cursor:
    cursor.execute(ORDERS)
    cursor.scroll(2)
    assert cursor.fetchone() == (3,)
    cursor.scroll(-2)
    assert cursor.fetchone() == (2,)
with db.cursor("held", withhold=True) as cursor:
    cursor.execute(ORDERS)
    db.commit()
    assert cursor.fetchone() == (1,)
assert [row[0] for row in db.cursor().stream(ORDERS, size=2)] == [1, 2, 3, 4, 5]

with db.cursor() as cursor:
    cursor.executemany("SELECT %s::int", [(1,), (2,), (3,)], returning=True)
    got = [cursor.fetchone()[0]]
    while cursor.nextset():
        got.append(cursor.fetchone()[0])
    assert got == [1, 2, 3]

# COPY, text and binary, of a query and of a table.
with db.cursor() as cursor, cursor.copy("COPY (SELECT order_id, lastname FROM customer_orders ORDER BY 1) TO STDOUT") as copy:
    assert [row[1] for row in copy.rows()] == NAMES
with db.cursor() as cursor, cursor.copy("COPY customer_orders TO STDOUT (FORMAT binary)") as copy:
    copy.set_types(["int4", "varchar", "varchar", "numeric", "numeric"])
    assert sorted(copy.rows())[0] == (1, "Abernathy", "US-EAST", Decimal("89.00"), Decimal("95.67"))
refused("42501", lambda: db.cursor().copy("COPY customer_orders FROM STDIN").__enter__())
db.rollback()

# Binary results of many types.
values = db.cursor(binary=True).execute(
    "SELECT order_id, lastname, order_total, ARRAY[1, 2], '{\"a\": 1}'::jsonb, true, 1.5::float8, date '2020-01-01',"
    " interval '1 day', '\\x01'::bytea, NULL FROM customer_orders WHERE order_id = %s",
    (1,),
).fetchone()
assert values[:6] == (1, "Abernathy", Decimal("89.00"), [1, 2], {"a": 1}, True), values
db.commit()

# Cancel, old way and new (under TLS), from another thread.
for cancel in (db.cancel, db.cancel_safe):
    failures = []

    def work(cancel=cancel):
        try:
            cancel()
        except Exception as error:  # told to the main thread
            failures.append(error)

    timer = threading.Timer(0.2, work)
    timer.start()
    start = time.monotonic()
    refused("57014", lambda: db.execute("SELECT pg_sleep(4)"))
    assert time.monotonic() - start < 3.5
    timer.join()
    assert not failures, failures
    db.rollback()

# Transactions: a refused statement fails them as any error does; savepoints bring them back.
refused("42P01", lambda: db.execute("SELECT * FROM payroll"))
refused("25P02", lambda: db.execute("SELECT 1"))
db.rollback()
with db.transaction():
    try:
        with db.transaction():
            db.execute("SELECT * FROM payroll")
    except psycopg.errors.UndefinedTable as error:
        assert error.diag.statement_position == "15" and error.diag.message_hint
    assert db.execute("SELECT 2").fetchone() == (2,)
db.autocommit = True
assert db.execute("SELECT 1").fetchone() == (1,)
assert db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
cursor = db.execute("SELECT 1; SELECT 2")
assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == (2,)

# Types are looked up in the catalog.
assert TypeInfo.fetch(db, "numeric").oid == 1700
assert EnumInfo.fetch(db, "no_such_enum") is None

# A full cache of prepared statements lets go of old ones, in and out of pipelines; then none is left.
db.prepared_max = 2
for pipelined in (False, True):
    for i in range(6):
        if pipelined:
            with db.pipeline():
                db.execute(f"SELECT {i} * %s", (1,), prepare=True)
        else:
            assert db.execute(f"SELECT {i} + %s", (1,), prepare=True).fetchone() == (i + 1,)
db.execute("DEALLOCATE ALL")
db.close()

# TLS from the first byte, and the newest protocol libpq speaks.
for settings in (
    {"sslmode": "require", "sslnegotiation": "direct"},
    {"max_protocol_version": "latest"},
    {"min_protocol_version": "3.2", "sslmode": "disable"},
    {"require_auth": "scram-sha-256", "channel_binding": "require"},
):
    with psycopg.connect("", **settings) as other:
        assert other.execute("SELECT count(*) FROM customer_orders").fetchone() == (5,), settings
        threading.Timer(0.1, other.cancel_safe).start()
        refused("57014", lambda: other.execute("SELECT pg_sleep(4)"))
        other.rollback()

# Direct TLS without ALPN is refused: it could be another protocol's client.
for protocols in ([], ["http/1.1"]):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    with socket.create_connection((os.environ["PGHOST"], int(os.environ["PGPORT"])), timeout=10) as plain:
        try:
            with context.wrap_socket(plain) as stream:
                stream.sendall(b"\0\0\0\x16\0\x03\0\0user\0harper\0\0\0")
                said = stream.recv(1000)
                assert b"08P01" in said or not said, said
        except (ssl.SSLError, OSError):
            pass

for options, state in [
    ("-c statement_timeout=abc", "invalid value for parameter"),
    ("-c role=postgres", 'startup option "role"'),
    ("-c no_such_setting=1", 'startup option "no_such_setting"'),
    ("-c session_replication_role=replica", "startup option"),
    ("-d 5", "startup options take the form"),
]:
    try:
        psycopg.connect("", options=options)
        raise AssertionError(f"{options} was taken")
    except psycopg.OperationalError as error:
        assert state in str(error), error
for settings in ({"client_encoding": "latin1"}, {"dbname": "postgres"}, {"password": "wrong"}, {"user": "nobody"}):
    try:
        psycopg.connect("", **settings)
        raise AssertionError(f"{settings} was taken")
    except psycopg.OperationalError:
        pass
print("done")
