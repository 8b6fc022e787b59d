use rustix::fs::{Mode, OFlags, open};
use std::{
    ffi::CString,
    fs,
    num::NonZeroUsize,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::Path,
    time::Instant,
};
use vfolder_storage_proxy::tree::*;
fn dir(p: &Path) -> std::os::fd::OwnedFd {
    open(p, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let w = Workers::new(NonZeroUsize::new(a[2].parse().unwrap()).unwrap());
    let c = Control::default();
    let t = Instant::now();
    match a[1].as_str() {
        "clone" => {
            let s = dir(Path::new(&a[3]));
            let d = Path::new(&a[4]);
            let p = d.parent().unwrap();
            let l = p.join(".l");
            fs::create_dir_all(&l).unwrap();
            let (p, l) = (dir(p), dir(&l));
            let n = CString::new(d.file_name().unwrap().as_bytes()).unwrap();
            clone_tree(
                s.as_fd(),
                CloneTarget {
                    parent: p.as_fd(),
                    name: &n,
                    links: l.as_fd(),
                    root: None,
                    resume: None,
                    ongoing: &Default::default(),
                },
                w,
                &c,
            )
            .unwrap();
        }
        "remove" => {
            let d = Path::new(&a[3]);
            let p = dir(d.parent().unwrap());
            let n = CString::new(d.file_name().unwrap().as_bytes()).unwrap();
            remove_tree(p.as_fd(), &n, w, &c).unwrap();
        }
        _ => {
            println!("{:?}", usage(dir(Path::new(&a[3])).as_fd(), w, &c).unwrap());
        }
    }
    println!("{:.3}s {:?}", t.elapsed().as_secs_f64(), c.progress());
}
