//! Builds and installs the C libraries.
//!
//! Cargo makes static libraries. From each of them the linker makes
//!
//! * one object with all that the library needs of Rust and its runtime, in
//!   which every symbol is local but those of the interface: the static
//!   library that is installed;
//! * from that object, the shared object with its soname and version node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to install, and where.
pub struct Options {
    prefix: PathBuf,
    libdir: String,
    abi: Abi,
    profile: String,
}

/// A generation of the C ABI of libkdumpfile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Abi {
    /// libkdumpfile.so.10.
    Ten,
    /// libkdumpfile.so.12.
    Twelve,
}

impl Abi {
    /// The number in the soname of libkdumpfile.
    fn soname(self) -> &'static str {
        match self {
            Abi::Ten => "10",
            Abi::Twelve => "12",
        }
    }

    /// What stands behind the name of the file of libkdumpfile.
    fn file(self) -> &'static str {
        match self {
            Abi::Ten => "10.1.0",
            Abi::Twelve => "12.0.0",
        }
    }

    /// What stands behind the name of the file of libaddrxlat.
    fn addrxlat_file(self) -> &'static str {
        match self {
            Abi::Ten => "3.1.3",
            Abi::Twelve => "3.1.4",
        }
    }

    /// The version that headers and pkg-config files announce.
    fn version(self) -> [u8; 3] {
        match self {
            Abi::Ten => [0, 5, 4],
            Abi::Twelve => [0, 5, 6],
        }
    }

    /// The suffix of the folder of headers and of the pkg-config files. The
    /// plain names belong to generation 10, which sources are written for.
    fn suffix(self) -> &'static str {
        match self {
            Abi::Ten => "",
            Abi::Twelve => "-12",
        }
    }
}

/// One of the two libraries.
struct Library {
    name: &'static str,
    node: &'static str,
    soname: String,
    file: String,
    /// Symbols that older clients and this project's contract want.
    lists: &'static [&'static str],
    description: &'static str,
}

type Outcome<T = ()> = Result<T, String>;

impl Options {
    /// Reads the command line.
    pub fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut prefix = None;
        let mut options =
            Options { prefix: PathBuf::new(), libdir: "lib".into(), abi: Abi::Ten, profile: "capi".into() };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or(format!("{name} wants a value"));
            match name.as_str() {
                "--prefix" => prefix = Some(PathBuf::from(value()?)),
                "--libdir" => options.libdir = value()?,
                "--profile" => options.profile = value()?,
                "--abi" => {
                    options.abi = match value()?.as_str() {
                        "10" => Abi::Ten,
                        "12" => Abi::Twelve,
                        other => return Err(format!("there is no ABI {other}; known are 10 and 12")),
                    }
                }
                other => return Err(format!("unknown option {other}")),
            }
        }
        options.prefix = prefix.ok_or("where to? --prefix is missing")?;
        Ok(options)
    }
}

fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn folder(path: PathBuf) -> Outcome<PathBuf> {
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Puts a symbolic link in place, or replaces it.
fn link(folder: &Path, name: &str, target: &str) -> Outcome {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    std::os::unix::fs::symlink(target, &path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Builds everything and puts it in place.
pub fn install(options: &Options) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?;
    let abi = options.abi;
    let addrxlat = Library {
        name: "addrxlat",
        node: "LIBADDRXLAT_0",
        soname: "libaddrxlat.so.3".into(),
        file: format!("libaddrxlat.so.{}", abi.addrxlat_file()),
        lists: &["addrxlat.txt"],
        description: "Address space translation",
    };
    let kdumpfile = Library {
        name: "kdumpfile",
        node: "LIBKDUMPFILE_0",
        soname: format!("libkdumpfile.so.{}", abi.soname()),
        file: format!("libkdumpfile.so.{}", abi.file()),
        lists: match abi {
            Abi::Ten => &["kdumpfile.txt", "kdumpfile-more.txt"],
            Abi::Twelve => &["kdumpfile.txt", "kdumpfile-more.txt", "kdumpfile-12.txt"],
        },
        description: "Kernel coredump file access",
    };
    let built = build(root, options)?;
    let libdir = folder(options.prefix.join(&options.libdir))?;
    let scratch = folder(built.join(format!("install-capi-{}", abi.soname())))?;
    for library in [&addrxlat, &kdumpfile] {
        make(root, &built, &scratch, &libdir, library, options)?;
        println!("{}", libdir.join(&library.file).display());
    }
    headers(root, options)?;
    pkg_config(options, &addrxlat, "")?;
    pkg_config(options, &kdumpfile, &format!("libaddrxlat{}", abi.suffix()))
}

/// Builds the static libraries of Cargo; returns the folder they are in.
///
/// Each by its own, and as nothing else: what is a library of Rust, too, is
/// not optimised as a whole by Cargo, whatever the profile says.
fn build(root: &Path, options: &Options) -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for package in ["kdumpfile-capi-addrxlat", "kdumpfile-capi-kdumpfile"] {
        let mut command = Command::new(&cargo);
        command.current_dir(root).args(["rustc", "--locked", "--lib", "--profile", &options.profile]);
        command.args(["-p", package, "--crate-type", "staticlib"]);
        if options.abi == Abi::Twelve && package == "kdumpfile-capi-kdumpfile" {
            command.args(["--features", "abi12"]);
        }
        run(&mut command)?;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = if options.profile == "dev" { "debug" } else { &options.profile };
    Ok(target.join(folder))
}

/// Makes the static and the shared library.
fn make(
    root: &Path,
    built: &Path,
    scratch: &Path,
    libdir: &Path,
    library: &Library,
    options: &Options,
) -> Outcome {
    let abi = options.abi;
    let Library { name, node, soname, file, lists, .. } = library;
    let mut symbols = Vec::new();
    for list in *lists {
        let text = read(&root.join("capi/map").join(list))?;
        symbols.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from));
    }
    symbols.sort();

    // One object: what the interface reaches, and no other global symbol.
    let object = scratch.join(format!("{name}.o"));
    let from = built.join(format!("lib{name}_capi.a"));
    let mut linker = Command::new("ld");
    linker.args(["-r", "--gc-sections", "-o"]).arg(&object);
    for symbol in &symbols {
        linker.args(["-u", symbol]);
    }
    linker.arg(&from);
    run(&mut linker)?;
    let keep = scratch.join(format!("{name}.keep"));
    write(&keep, &(symbols.join("\n") + "\n"))?;
    let mut objcopy = Command::new("objcopy");
    objcopy.arg(format!("--keep-global-symbols={}", keep.display()));
    // Intermediate code of the standard library, which tools stumble over.
    objcopy.args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
    if options.profile != "dev" {
        objcopy.arg("--strip-debug");
    }
    run(objcopy.arg(&object))?;
    let archive = libdir.join(format!("lib{name}.a"));
    if abi == Abi::Ten {
        let _ = fs::remove_file(&archive);
        run(Command::new("ar").arg("rcs").arg(&archive).arg(&object))?;
    }

    let script = scratch.join(format!("{name}.map"));
    write(&script, &format!("{node} {{\n  global:\n    {};\n  local: *;\n}};\n", symbols.join(";\n    ")))?;
    let shared = libdir.join(file);
    let mut linker = Command::new("cc");
    linker.arg("-shared").arg("-o").arg(&shared).arg(&object);
    linker.args(["-Wl,--gc-sections", "-Wl,-z,defs", "-Wl,-z,relro,-z,now", "-Wl,--as-needed"]);
    linker.arg(format!("-Wl,-soname,{soname}"));
    linker.arg(format!("-Wl,--version-script={}", script.display()));
    if *name == "kdumpfile" {
        linker.arg("-L").arg(libdir).arg("-l:libaddrxlat.so.3");
    }
    linker.args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-lc"]);
    run(&mut linker)?;
    link(libdir, soname, file)?;
    match abi {
        Abi::Ten => link(libdir, &format!("lib{name}.so"), soname),
        Abi::Twelve => Ok(()),
    }
}

/// Installs the headers with the version of the generation.
fn headers(root: &Path, options: &Options) -> Outcome {
    let abi = options.abi;
    let include = format!("include{}/libkdumpfile", abi.suffix().replace('-', "/libkdumpfile"));
    let include = folder(options.prefix.join(include))?;
    for name in ["kdumpfile.h", "addrxlat.h"] {
        let mut text = read(&root.join("capi/include/libkdumpfile").join(name))?;
        for (word, number) in ["@MAJOR@", "@MINOR@", "@MICRO@"].iter().zip(abi.version()) {
            text = text.replace(word, &number.to_string());
        }
        write(&include.join(name), &text)?;
    }
    Ok(())
}

/// Installs a pkg-config file.
fn pkg_config(options: &Options, library: &Library, private: &str) -> Outcome {
    let abi = options.abi;
    let [major, minor, micro] = abi.version();
    let folder = folder(options.prefix.join(&options.libdir).join("pkgconfig"))?;
    let prefix = fs::canonicalize(&options.prefix).map_err(|error| error.to_string())?;
    // The plain names of the development links belong to generation 10.
    let link = match abi {
        Abi::Ten => format!("-l{}", library.name),
        Abi::Twelve => format!("-l:{}", library.soname),
    };
    let text = format!(
        "prefix={}\nexec_prefix=${{prefix}}\nlibdir=${{exec_prefix}}/{}\nincludedir=${{prefix}}/include{}\n\n\
         Name: lib{}\nDescription: {}\nVersion: {major}.{minor}.{micro}\nRequires:\n\
         Requires.private: {private}\nLibs: -L${{libdir}} {link}\n\
         Libs.private: -lgcc_s -lpthread -ldl -lm -lc\nCflags: -I${{includedir}}\n",
        prefix.display(),
        options.libdir,
        abi.suffix().replace('-', "/libkdumpfile"),
        library.name,
        library.description,
    );
    write(&folder.join(format!("lib{}{}.pc", library.name, abi.suffix())), &text)
}
