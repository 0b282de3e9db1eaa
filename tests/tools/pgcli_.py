"""What pgcli reads for its completions, one fact a line; see tests/system/works/tools.rs."""

import os

import pgcli
from pgcli.pgexecute import PGExecute

print("version\tpgcli " + pgcli.__version__)
executor = PGExecute(
    os.environ["PGDATABASE"], os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGHOST"], os.environ["PGPORT"]
)


def ours(schema):
    return schema not in ("pg_catalog", "information_schema")


for schema, table in list(executor.tables()) + list(executor.views()):
    if ours(schema):
        print(f"table\t{schema}.{table}")
for schema, table, column, *_ in list(executor.table_columns()) + list(executor.view_columns()):
    if ours(schema):
        print(f"column\t{schema}.{table}.{column}")
foreign = {}
for key in executor.foreignkeys():
    print(f"other\t{key}")
for listing in (executor.schemata, executor.databases, executor.datatypes, executor.functions, executor.search_path):
    print(f"other\t{[row for row in listing() if not isinstance(row, tuple) or ours(row[0])]}")
print(f"other\t{executor.full_databases()}")
