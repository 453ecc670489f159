//! Model tests of the table.
