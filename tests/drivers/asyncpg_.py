"""asyncpg: every statement prepared, everything binary, Flush without Sync, cursors as portals."""

import asyncio
import io

import asyncpg

ORDERS = "SELECT order_id FROM customer_orders ORDER BY order_id"


async def refused(state, awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        assert error.sqlstate == state, f"{error.sqlstate} instead of {state}: {error}"
        return error
    raise AssertionError(f"not refused with {state}")


async def main():
    db = await asyncpg.connect()
    sql = "SELECT order_id FROM customer_orders WHERE region = $1 AND order_total > $2 ORDER BY 1"
    assert [row[0] for row in await db.fetch(sql, "US-EAST", 60)] == [1, 2]
    by_id = "SELECT lastname FROM customer_orders WHERE order_id = $1"
    assert [await db.fetchval(by_id, i) for i in (1, 2, 3)] == ["Abernathy", "Brightwater", "Castellanos"]
    prepared = await db.prepare(by_id)
    assert [a.name for a in prepared.get_attributes()] == ["lastname"] and len(prepared.get_parameters()) == 1

    async with db.transaction():
        assert [row[0] async for row in db.cursor(ORDERS, prefetch=2)] == [1, 2, 3, 4, 5]
        cursor = await db.cursor(ORDERS)
        assert [row[0] for row in await cursor.fetch(2)] == [1, 2]
        await cursor.forward(1)
        assert (await cursor.fetchrow())[0] == 4
        try:
            async with db.transaction():
                await db.execute("SELECT * FROM payroll")
        except asyncpg.UndefinedTableError as error:
            assert error.hint
        assert await db.fetchval("SELECT 1") == 1

    await refused("42P01", db.fetch("SELECT * FROM payroll WHERE employee_id = $1", 1))
    await refused("42703", db.fetch("SELECT nope FROM customer_orders"))
    await refused("42501", db.fetchval("SELECT pg_read_file('/etc/passwd')"))
    assert await db.fetchval("SELECT 5") == 5
    assert await db.execute("SELECT 1; SELECT 2") == "SELECT 1"
    await db.executemany("SELECT $1::int", [(1,), (2,), (3,)])
    row = await db.fetchrow(
        "SELECT 1::int2, 2::int8, 1.5::numeric, true, 'a'::text, now(), '{1,2}'::int[], '{\"a\": 1}'::jsonb,"
        " '00000000-0000-0000-0000-000000000001'::uuid, interval '1 day', '1.1.1.1'::inet, int4range(1, 3), NULL"
    )
    assert row[0] == 1 and row[6] == [1, 2] and row[12] is None
    # A type it does not know by heart is looked up in the catalog.
    await db.set_type_codec("jsonb", encoder=str, decoder=str, schema="pg_catalog")
    pairs = await db.fetchval("SELECT array_agg(ROW(order_id, lastname)) FROM customer_orders")
    assert len(pairs) == 5

    buffer = io.BytesIO()
    assert await db.copy_from_query(ORDERS, output=buffer) == "COPY 5" and buffer.getvalue() == b"1\n2\n3\n4\n5\n"
    buffer = io.BytesIO()
    assert await db.copy_from_table("customer_orders", columns=["order_id"], output=buffer, format="binary") == "COPY 5"
    await refused("42501", db.copy_to_table("customer_orders", source=io.BytesIO(b""), columns=["order_id"]))

    await db.execute("SET statement_timeout = 1234")
    await db.reset()
    assert await db.fetchval("SHOW statement_timeout") == "0"
    assert await db.fetchval(by_id, 5) == "Eriksen"
    try:
        await db.fetch("SELECT pg_sleep(5)", timeout=0.3)
        raise AssertionError("no timeout")
    except asyncio.TimeoutError:
        assert await db.fetchval("SELECT 1") == 1
    settings = db.get_settings()
    assert settings.session_authorization == "harper" and settings.is_superuser == "off"
    await db.close()

    pool = await asyncpg.create_pool(min_size=2, max_size=3, server_settings={"application_name": "pool", "jit": "off"})

    async def one(number):
        async with pool.acquire() as connection, connection.transaction():
            return await connection.fetchval("SELECT $1::int + count(*) FROM customer_orders", number)

    assert await asyncio.gather(*[one(i) for i in range(8)]) == [5, 6, 7, 8, 9, 10, 11, 12]
    await pool.close()
    await refused("42501", asyncpg.connect(server_settings={"role": "lanyard_owner"}))
    elsewhere = await asyncpg.connect(server_settings={"search_path": "lanyard_secured"})
    await refused("42P01", elsewhere.fetch(ORDERS))
    await elsewhere.close()


asyncio.run(main())
print("done")
