//! Files that hold what users said, or what proves who they are: nobody else on the machine reads them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a file that only we read and write.
///
/// # Errors
/// As [`OpenOptions::open`]; a file that is there already is one.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Takes the rights of others away, where a copy or a restore gave them some; `true` where it did.
///
/// # Errors
/// Where the file is not there, or not ours.
#[cfg(unix)]
pub fn close_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(false);
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(true)
}

/// Elsewhere the directory's rights decide.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn close_to_others(_: &Path) -> io::Result<bool> {
    Ok(false)
}
