"""SQLAlchemy's Inspector, one fact a line; see tests/system/works/tools.rs."""

import sqlalchemy as sa

print("version\tSQLAlchemy " + sa.__version__)
inspector = sa.inspect(sa.create_engine("postgresql+psycopg://"))
for schema in inspector.get_schema_names():
    if schema == "information_schema":
        continue
    names = inspector.get_table_names(schema) + inspector.get_view_names(schema) + inspector.get_materialized_view_names(schema)
    for table in names:
        name = f"{schema}.{table}"
        print(f"table\t{name}")
        text = inspector.get_table_comment(table, schema)["text"]
        if text:
            print(f"comment\t{name}={text}")
        for column in inspector.get_columns(table, schema):
            print(f"column\t{name}.{column['name']}")
            if column["comment"]:
                print(f"comment\t{name}.{column['name']}={column['comment']}")
        primary = inspector.get_pk_constraint(table, schema)
        if primary["constrained_columns"]:
            print(f"primary\t{name}({','.join(primary['constrained_columns'])})")
            print(f"index\t{name}.{primary['name']}")
        for key in inspector.get_foreign_keys(table, schema):
            print(
                f"foreign\t{name}({','.join(key['constrained_columns'])})"
                f"->{key['referred_schema'] or schema}.{key['referred_table']}({','.join(key['referred_columns'])})"
            )
        for index in inspector.get_indexes(table, schema):
            print(f"index\t{name}.{index['name']}")
        print(f"other\t{inspector.get_check_constraints(table, schema)} {inspector.get_unique_constraints(table, schema)}")
print(f"other\t{inspector.get_sequence_names('public')} {inspector.get_enums('*')} {inspector.get_domains('*')}")
