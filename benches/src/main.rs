//! The bench driver.
fn main() {}
