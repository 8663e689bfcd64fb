//! The three tables and how large each becomes.

use clap::ValueEnum;

/// A table of `sql/schema.sql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// Who buys.
    Customers,
    /// Who logs in, mostly for a customer.
    Users,
    /// What was bought.
    Orders,
}

impl Table {
    /// All tables; those that others refer to come first.
    pub(crate) const ALL: [Table; 3] = [Table::Customers, Table::Users, Table::Orders];

    /// With its schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Customers => "understudy.customers",
            Table::Users => "understudy.users",
            Table::Orders => "understudy.orders",
        }
    }

    /// Without its schema.
    pub(crate) fn bare_name(self) -> &'static str {
        self.name().trim_start_matches("understudy.")
    }

    /// In the order of the table and of each row.
    pub(crate) fn columns(self) -> &'static str {
        match self {
            Table::Customers => "id,name,email,phone,street,city,country,created_at",
            Table::Users => "id,customer_id,username,email,active,created_at",
            Table::Orders => "id,customer_id,status,amount,placed_at,details,signature",
        }
    }

    /// The columns with their types, as PostgreSQL prints them.
    pub(crate) fn typed_columns(self) -> &'static str {
        match self {
            Table::Customers => {
                "id bigint, name text, email text, phone text, street text, city text, country character(2), \
                 created_at timestamp with time zone"
            }
            Table::Users => {
                "id bigint, customer_id bigint, username text, email text, active boolean, \
                 created_at timestamp with time zone"
            }
            Table::Orders => {
                "id bigint, customer_id bigint, status text, amount numeric(12,2), placed_at timestamp with time zone, \
                 details jsonb, signature bytea"
            }
        }
    }
}

/// Rows of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    customers: u64,
    users: u64,
    orders: u64,
}

impl Size {
    /// The sizes that go with `rows` rows of `table`: ten orders and two users to a customer, as a load has them.
    pub(crate) fn with(table: Table, rows: u64) -> Size {
        let share = |of: u64| (rows / of).max(1);
        match table {
            Table::Customers => {
                Size { customers: rows, users: rows.saturating_mul(2), orders: rows.saturating_mul(10) }
            }
            Table::Users => Size { customers: share(2), users: rows, orders: rows.saturating_mul(5) },
            Table::Orders => Size { customers: share(10), users: share(5), orders: rows },
        }
    }

    /// Any sizes, for tests.
    #[cfg(test)]
    pub(crate) const fn exactly(customers: u64, users: u64, orders: u64) -> Size {
        Size { customers, users, orders }
    }

    pub(crate) fn total(self) -> u64 {
        self.customers.saturating_add(self.users).saturating_add(self.orders)
    }

    pub(crate) fn of(self, table: Table) -> u64 {
        match table {
            Table::Customers => self.customers,
            Table::Users => self.users,
            Table::Orders => self.orders,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Size, Table};

    #[test]
    fn no_table_is_empty() {
        assert_eq!(Size::with(Table::Orders, 1), Size { customers: 1, users: 1, orders: 1 });
        assert_eq!(Size::with(Table::Orders, 1000), Size { customers: 100, users: 200, orders: 1000 });
    }

    #[test]
    fn a_table_alone_refers_to_as_many_customers_as_a_load_makes() {
        for orders in [1, 9, 10, 15, 19, 25, 99, 100, 12_345] {
            let load = Size::with(Table::Orders, orders);
            assert_eq!(Size::with(Table::Users, load.users).customers, load.customers, "{orders} orders");
            assert_eq!(Size::with(Table::Customers, load.customers).customers, load.customers, "{orders} orders");
        }
    }

    /// The columns are named here and in the schema: they must not drift apart.
    #[test]
    fn the_columns_are_those_of_the_schema() {
        let schema = cluster::sql!("schema");
        for table in Table::ALL {
            let name = table.name();
            let begin = format!("CREATE TABLE IF NOT EXISTS {name} (\n");
            let body = schema.split_once(&begin).unwrap().1.split_once("\n    );").unwrap().0;
            let columns: Vec<_> = body.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
            let typed: Vec<_> =
                table.typed_columns().split(", ").filter_map(|column| column.split(' ').next()).collect();
            assert_eq!(typed, columns, "{name}");
            assert_eq!(columns.join(","), table.columns(), "{name}");
        }
    }
}
