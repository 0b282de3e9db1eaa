"""SQLAlchemy 2: reflection shows exactly what may be queried, under the tables' own names; the ORM reads it."""

import os
import sys
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

RETAIL = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
driver = sys.argv[1]
address = "" if driver.startswith("psycopg") else "{}:{}@{}:{}/{}".format(
    *(quote(os.environ[name], safe="") for name in ("PGUSER", "PGPASSWORD", "PGHOST", "PGPORT", "PGDATABASE"))
)
engine = sa.create_engine(f"postgresql+{driver}://{address}")

seen = []
inspector = sa.inspect(engine)
schemas = inspector.get_schema_names()
assert schemas == ["information_schema", "public", "retail"], schemas
tables = {schema: sorted(inspector.get_table_names(schema=schema)) for schema in (None, "public", "retail")}
assert tables == {None: ["customer_orders"], "public": ["customer_orders"], "retail": RETAIL}, tables
for schema in (None, "public", "retail"):
    assert inspector.get_view_names(schema=schema) == []
    assert inspector.get_materialized_view_names(schema=schema) == []
    assert inspector.get_sequence_names(schema=schema) == []
    seen += [inspector.get_enums(schema=schema), inspector.get_domains(schema=schema)]
assert inspector.get_temp_table_names() == [] and inspector.get_temp_view_names() == []
assert inspector.has_table("customer_orders") and not inspector.has_table("payroll")
assert inspector.default_schema_name == "public"

columns = inspector.get_columns("customer_orders")
assert [(c["name"], str(c["type"]), c["nullable"]) for c in columns] == [
    ("order_id", "INTEGER", False),
    ("lastname", "VARCHAR(40)", False),
    ("region", "VARCHAR(16)", False),
    ("order_total", "NUMERIC(12, 2)", False),
    ("total_with_shipping", "NUMERIC(12, 2)", False),
]
assert columns[1]["comment"] == "Last name of the person who ordered"
assert inspector.get_table_comment("customer_orders") == {"text": "Orders of the web shop, one row each"}
assert inspector.get_pk_constraint("customer_orders")["constrained_columns"] == ["order_id"]
assert [i["name"] for i in inspector.get_indexes("customer_orders")] == ["customer_orders_region"]
keys = inspector.get_foreign_keys("lineitem", schema="retail")
assert sorted((k["referred_schema"], k["referred_table"]) for k in keys) == [("retail", "orders"), ("retail", "partsupp")]
for table, schema in [("customer_orders", None), ("lineitem", "retail"), ("customer", "retail")]:
    for ask in ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints",
                "table_comment", "table_options"):
        seen.append(getattr(inspector, "get_" + ask)(table, schema=schema))
for hidden in [("payroll", None), ("payroll", "public"), ("lease", "lanyard")]:
    try:
        inspector.get_columns(hidden[0], schema=hidden[1])
        raise AssertionError(f"{hidden} is there")
    except sa.exc.NoSuchTableError:
        pass

metadata = sa.MetaData()
metadata.reflect(engine, views=True)
assert sorted(metadata.tables) == ["customer_orders"]
metadata.reflect(engine, schema="retail", views=True)
assert sorted(metadata.tables) == ["customer_orders"] + [f"retail.{name}" for name in RETAIL]
assert len(metadata.tables["retail.lineitem"].foreign_key_constraints) == 2
seen += [metadata.tables, schemas, tables]
for word in ("lanyard", "v_", "payroll"):
    assert word not in str(seen).lower(), f"{word} in {seen}"


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "customer_orders"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    lastname: Mapped[str]


with Session(engine) as session:
    found = session.scalars(sa.select(Order).where(Order.order_id.in_([1, 2])).order_by(Order.order_id)).all()
    assert [order.lastname for order in found] == ["Abernathy", "Brightwater"]
orders, customers = metadata.tables["retail.orders"], metadata.tables["retail.customer"]
with engine.connect() as connection:
    joined = sa.select(sa.func.count()).select_from(orders.join(customers, orders.c.o_custkey == customers.c.c_custkey))
    assert connection.execute(joined).scalar() == 1500
    try:
        connection.execute(sa.text("SELECT * FROM payroll"))
        raise AssertionError("payroll is visible")
    except sa.exc.DBAPIError as error:
        assert "does not exist" in str(error.orig)
    connection.rollback()
    assert connection.execute(sa.text("SELECT 1")).scalar() == 1
if driver.startswith("psycopg"):
    with engine.connect().execution_options(stream_results=True, yield_per=2) as connection:
        streamed = connection.execute(sa.text("SELECT order_id FROM customer_orders ORDER BY 1"))
        assert [row[0] for row in streamed] == [1, 2, 3, 4, 5]
for level in ("SERIALIZABLE", "AUTOCOMMIT"):
    with engine.connect().execution_options(isolation_level=level) as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
engine.dispose()
print("done")
