"""LangChain's SQLDatabase: what it puts into a prompt, one fact a line; see tests/system/works/tools.rs."""

import importlib.metadata
import re
import warnings

warnings.simplefilter("ignore")
from langchain_community.utilities import SQLDatabase

print("version\tlangchain-community " + importlib.metadata.version("langchain-community"))
for schema in ("public", "retail"):
    database = SQLDatabase.from_uri("postgresql+psycopg2://", schema=schema, sample_rows_in_table_info=3, view_support=True)
    for table in database.get_usable_table_names():
        print(f"table\t{schema}.{table}")
        info = database.get_table_info([table])
        body = info.split("\n/*", 1)[0]
        for column in re.findall(r"^\t\"?(\w+)\"? [A-Z]", body, flags=re.M):
            if column not in ("CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE"):
                print(f"column\t{schema}.{table}.{column}")
        for line in info.splitlines():
            print("other\t" + line)
    if schema == "public":
        print("other\t" + database.run("SELECT lastname FROM customer_orders ORDER BY order_id"))
        for value in re.findall(r"'([^']*)'", database.run("SELECT lastname FROM customer_orders ORDER BY order_id")):
            print("value\t" + value)
