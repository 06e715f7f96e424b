//! Files that are either written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::{EvalError, Result};

/// A file being written. Until [`OutputFile::commit`] nothing is seen under its name, and dropped
/// before that nothing stays.
///
/// Create it before a long run: a path that cannot be written is better known at once. Nothing lies
/// there until the first write, so that a run that is killed leaves nothing.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    /// `None` for an ordinary file that nothing was written to yet.
    target: Option<Target>,
}

#[derive(Debug)]
enum Target {
    Temporary(BufWriter<NamedTempFile>),
    /// A pipe or a device, which a rename would replace.
    Special(BufWriter<File>),
}

impl Target {
    fn temporary(path: &Path) -> io::Result<Self> {
        Ok(Self::Temporary(BufWriter::new(temporary_beside(path)?)))
    }
}

impl OutputFile {
    /// Starts writing `path`, following a symbolic link if it is one.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |cause| EvalError::io(path, "create", cause);
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let special = fs::metadata(&real).is_ok_and(|found| !found.is_file());
        let target = if special {
            let file = File::options().write(true).open(&real).map_err(failed)?;
            Some(Target::Special(BufWriter::new(file)))
        } else {
            // Made and removed, to see that it can be.
            drop(temporary_beside(&real).map_err(failed)?);
            None
        };
        Ok(Self { path: real, target })
    }

    /// Where bytes go.
    fn writer(&mut self) -> io::Result<&mut dyn Write> {
        let target = match &mut self.target {
            Some(target) => target,
            none => none.insert(Target::temporary(&self.path)?),
        };
        let writer: &mut dyn Write = match target {
            Target::Temporary(writer) => writer,
            Target::Special(writer) => writer,
        };
        Ok(writer)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `value` as indented JSON and a line break, and commits the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_json(mut self, value: &impl Serialize) -> Result<()> {
        let written = serde_json::to_writer_pretty(&mut self, value)
            .map_err(io::Error::from)
            .and_then(|()| self.write_all(b"\n"));
        written.map_err(|cause| EvalError::io(&self.path, "write", cause))?;
        self.commit()
    }

    /// Finishes the file and puts it in place of any older one.
    pub fn commit(self) -> Result<()> {
        let failed = |cause| EvalError::io(&self.path, "write", cause);
        let target = match self.target {
            Some(target) => target,
            // One that nothing was written to is empty.
            None => Target::temporary(&self.path).map_err(failed)?,
        };
        match target {
            Target::Special(mut writer) => writer.flush().map_err(failed),
            Target::Temporary(writer) => {
                let file = writer.into_inner().map_err(|e| failed(e.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                file.persist(&self.path).map_err(|e| failed(e.error))?;
                Ok(())
            }
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer()?.flush()
    }
}

fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".duoguard-");
    // Temporary files are private by default; this one becomes an ordinary file, under the user's
    // umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let mut file = OutputFile::create(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let mut file = OutputFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn says_which_path_cannot_be_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("out.json");
        let message = OutputFile::create(&path).unwrap_err().to_string();
        assert!(message.contains("out.json: cannot create"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn does_not_replace_a_device_or_a_link() {
        let mut null = OutputFile::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());

        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut out = OutputFile::create(&link).unwrap();
        out.write_all(b"new").unwrap();
        out.commit().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
