/** What pgjdbc's DatabaseMetaData lists, one fact a line; see tests/system/works/tools.rs for the form. */
import java.sql.*;
import java.util.*;

public class Catalog {
    static ResultSet rows;

    static String get(String column) throws SQLException {
        String value = rows.getString(column);
        return value == null ? "" : value;
    }

    static void say(String kind, String fact) {
        System.out.println(kind + "\t" + fact);
    }

    public static void main(String[] arguments) throws Exception {
        Properties login = new Properties();
        login.setProperty("user", System.getenv("PGUSER"));
        login.setProperty("password", System.getenv("PGPASSWORD"));
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, login)) {
            DatabaseMetaData meta = connection.getMetaData();
            say("version", "pgjdbc " + meta.getDriverVersion());
            List<String[]> tables = new ArrayList<>();
            rows = meta.getTables(null, null, "%", new String[] {"TABLE", "PARTITIONED TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"});
            while (rows.next()) {
                tables.add(new String[] {get("TABLE_SCHEM"), get("TABLE_NAME")});
                say("table", get("TABLE_SCHEM") + "." + get("TABLE_NAME"));
                if (!get("REMARKS").isEmpty()) say("comment", get("TABLE_SCHEM") + "." + get("TABLE_NAME") + "=" + get("REMARKS"));
            }
            rows = meta.getColumns(null, null, "%", "%");
            while (rows.next()) {
                String schema = get("TABLE_SCHEM");
                if (schema.equals("pg_catalog") || schema.equals("information_schema")) continue;
                String column = schema + "." + get("TABLE_NAME") + "." + get("COLUMN_NAME");
                // Indexes have columns too.
                if (tables.stream().noneMatch(t -> column.startsWith(t[0] + "." + t[1] + "."))) continue;
                say("column", column);
                if (!get("REMARKS").isEmpty()) say("comment", column + "=" + get("REMARKS"));
            }
            for (String[] table : tables) {
                String name = table[0] + "." + table[1];
                TreeMap<Integer, String> primary = new TreeMap<>();
                rows = meta.getPrimaryKeys(null, table[0], table[1]);
                while (rows.next()) primary.put(rows.getInt("KEY_SEQ"), get("COLUMN_NAME"));
                if (!primary.isEmpty()) say("primary", name + "(" + String.join(",", primary.values()) + ")");
                TreeMap<String, String[]> foreign = new TreeMap<>();
                rows = meta.getImportedKeys(null, table[0], table[1]);
                while (rows.next()) {
                    String[] known = foreign.getOrDefault(get("FK_NAME"), new String[] {"", get("PKTABLE_SCHEM") + "." + get("PKTABLE_NAME"), ""});
                    known[0] += (known[0].isEmpty() ? "" : ",") + get("FKCOLUMN_NAME");
                    known[2] += (known[2].isEmpty() ? "" : ",") + get("PKCOLUMN_NAME");
                    foreign.put(get("FK_NAME"), known);
                }
                for (String[] key : foreign.values()) say("foreign", name + "(" + key[0] + ")->" + key[1] + "(" + key[2] + ")");
                TreeSet<String> indexes = new TreeSet<>();
                rows = meta.getIndexInfo(null, table[0], table[1], false, true);
                while (rows.next()) if (!get("INDEX_NAME").isEmpty()) indexes.add(get("INDEX_NAME"));
                for (String index : indexes) say("index", name + "." + index);
            }
            // What else it asks: none of it may fail, nor name what is hidden.
            for (ResultSet other : new ResultSet[] {meta.getSchemas(), meta.getCatalogs(), meta.getTypeInfo(), meta.getTableTypes(),
                    meta.getUDTs(null, null, "%", null), meta.getProcedures(null, "public", "%"), meta.getFunctions(null, "public", "%"),
                    meta.getTablePrivileges(null, null, "customer%"), meta.getColumnPrivileges(null, "retail", "nation", "%"),
                    meta.getBestRowIdentifier(null, "retail", "nation", DatabaseMetaData.bestRowSession, true),
                    meta.getVersionColumns(null, "retail", "nation"), meta.getExportedKeys(null, "retail", "nation"),
                    meta.getCrossReference(null, "retail", "nation", null, "retail", "customer"),
                    meta.getProcedureColumns(null, "public", "%", "%"), meta.getClientInfoProperties()}) {
                int width = other.getMetaData().getColumnCount();
                while (other.next()) {
                    StringBuilder line = new StringBuilder();
                    for (int n = 1; n <= width; n++) line.append(other.getString(n)).append(' ');
                    say("other", line.toString());
                }
            }
            try (Statement statement = connection.createStatement();
                 ResultSet read = statement.executeQuery("SELECT lastname, o.order_id FROM customer_orders o ORDER BY order_id")) {
                ResultSetMetaData of = read.getMetaData();
                say("other", of.getColumnName(1) + " " + of.isNullable(2) + " " + of.isAutoIncrement(2) + " "
                    + ((org.postgresql.PGResultSetMetaData) of).getBaseTableName(1));
                while (read.next()) say("value", read.getString(1));
            }
        }
    }
}
