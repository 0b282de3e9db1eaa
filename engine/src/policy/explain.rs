pub struct ColumnExplanation;
pub struct Explanation;
pub struct RowsExplanation;
pub fn explain() {}
