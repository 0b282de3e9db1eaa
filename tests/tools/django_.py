"""Django's inspectdb, and the introspection under it, one fact a line; see tests/system/works/tools.rs."""

import io
import os

import django
from django.conf import settings
from django.core.management import call_command

schema = os.environ.get("SCHEMA", "public")
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "PASSWORD": os.environ["PGPASSWORD"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
        }
    },
    INSTALLED_APPS=[],
)
django.setup()
from django.db import connection

print("version\tDjango " + django.get_version())
for schema in ("public", "retail"):
    with connection.cursor() as cursor:
        cursor.execute(f"SET search_path = {schema}")
        look = connection.introspection
        for table in look.get_table_list(cursor):
            name = f"{schema}.{table.name}"
            print(f"table\t{name}")
            if table.comment:
                print(f"comment\t{name}={table.comment}")
            for column in look.get_table_description(cursor, table.name):
                print(f"column\t{name}.{column.name}")
                if column.comment:
                    print(f"comment\t{name}.{column.name}={column.comment}")
            found = look.get_constraints(cursor, table.name)
            foreign = {}
            for key, says in found.items():
                if says["primary_key"]:
                    print(f"primary\t{name}({','.join(says['columns'])})")
                if says["index"] or says["primary_key"]:
                    print(f"index\t{name}.{key}")
            print(f"other\t{look.get_relations(cursor, table.name)} {look.get_sequences(cursor, table.name)}")
        out = io.StringIO()
        call_command("inspectdb", stdout=out, include_views=True, include_partitions=True)
        text = out.getvalue()
        assert "Unable to inspect" not in text, text
        for line in text.splitlines():
            print("other\t" + line)
