"""psqlODBC's catalog functions, one fact a line; see tests/system/works/tools.rs."""

import glob
import os

import pyodbc

driver = glob.glob("/usr/lib/*/odbc/psqlodbcw.so")[0]
parts = {
    "Driver": driver,
    "Server": os.environ["PGHOST"],
    "Port": os.environ["PGPORT"],
    "Database": os.environ["PGDATABASE"],
    "Uid": os.environ["PGUSER"],
    "Pwd": os.environ["PGPASSWORD"],
}
connection = pyodbc.connect(";".join(f"{k}={v}" for k, v in parts.items()))
print(f"version\tpsqlODBC {connection.getinfo(pyodbc.SQL_DRIVER_VER)}")
cursor = connection.cursor()
tables = [(row.table_schem, row.table_name, row.remarks) for row in cursor.tables()]
tables = [t for t in tables if t[0] not in ("pg_catalog", "information_schema")]
for schema, table, remarks in tables:
    name = f"{schema}.{table}"
    print(f"table\t{name}")
    for row in cursor.columns(table=table, schema=schema).fetchall():
        print(f"column\t{name}.{row.column_name}")
    primary = sorted((row.key_seq, row.column_name) for row in cursor.primaryKeys(table, schema=schema).fetchall())
    if primary:
        print(f"primary\t{name}({','.join(column for _, column in primary)})")
    foreign = {}
    for row in cursor.foreignKeys(foreignTable=table, foreignSchema=schema).fetchall():
        foreign.setdefault((row.fk_name, row.pktable_schem, row.pktable_name), []).append((row.key_seq, row.fkcolumn_name, row.pkcolumn_name))
    for (_, parent_schema, parent), columns in foreign.items():
        columns.sort()
        print(f"foreign\t{name}({','.join(c for _, c, _ in columns)})->{parent_schema}.{parent}({','.join(p for _, _, p in columns)})")
    for index in sorted({row.index_name for row in cursor.statistics(table, schema=schema).fetchall() if row.index_name}):
        print(f"index\t{name}.{index}")
for row in cursor.procedures(schema="public").fetchall() + cursor.getTypeInfo().fetchall():
    print(f"other\t{tuple(row)}")
for row in cursor.execute("SELECT lastname FROM customer_orders WHERE order_id < ?", 100).fetchall():
    print(f"value\t{row.lastname}")
