//! Columns that line up.

use unicode_width::UnicodeWidthStr;

/// Lines of cells, each column as wide as its widest cell.
pub fn align<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.width() + 2));
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns_line_up_whatever_the_letters() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["价格".to_owned(), String::new()],
            ["åäö".to_owned(), "2".to_owned()],
        ];
        assert_eq!(align(&rows), ["a     1", "价格", "åäö   2"]);
    }
}
