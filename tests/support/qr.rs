//! Reads the code on a box's screen, as a camera would.

/// What a terminal shows at the end of `output`: all since it was cleared last.
pub(crate) fn screen(output: &str) -> &str {
    output.rsplit("\x1b[2J").next().unwrap_or_default().trim_start_matches("\x1b[3J")
}

/// The text in the code that is drawn in half blocks at the left of a screen.
pub(crate) fn read(screen: &str) -> Option<String> {
    const LIGHT_ABOVE: [char; 2] = ['█', '▀'];
    const LIGHT_BELOW: [char; 2] = ['█', '▄'];
    /// Points of a picture that a module is wide.
    const SIZE: usize = 4;
    /// Around the code the screen is as dark as its modules.
    const AROUND: usize = 8;
    let lines: Vec<Vec<char>> = screen.lines().map(|line| line.chars().collect()).collect();
    let first = lines.iter().position(|line| line.first() == Some(&'█'))?;
    let width = lines[first].iter().take_while(|module| **module == '█').count();
    let drawn: Vec<_> =
        lines[first..].iter().take_while(|line| line.first().is_some_and(|c| "█▀".contains(*c))).collect();
    let is_light = |column: usize, row: usize| {
        let Some(line) = drawn.get(row / 2) else { return false };
        let light = if row.is_multiple_of(2) { LIGHT_ABOVE } else { LIGHT_BELOW };
        column < width && line.get(column).is_some_and(|module| light.contains(module))
    };
    let module = |point: usize| point.checked_sub(AROUND).map(|point| point / SIZE);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(
        width * SIZE + 2 * AROUND,
        drawn.len() * 2 * SIZE + 2 * AROUND,
        |x, y| match (module(x), module(y)) {
            (Some(column), Some(row)) if is_light(column, row) => 255,
            _ => 0,
        },
    );
    let found = picture.detect_grids();
    found.first()?.decode().ok().map(|(_, text)| text)
}
