"""What has to be there before anything is measured: llama.cpp, its driver, the probe.

Everything lies in the work directory and is made once.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile

from . import Problem

#: The source package; it holds the whole of llama.cpp.
PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
PACKAGE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
LLAMA_COMMIT = "0c1e57098"
CMAKE_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_NATIVE=ON", "-DGGML_OPENMP=ON",
    "-DLLAMA_BUILD_COMMON=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF")
PYTHON_PACKAGES = ("cmake>=3.28", "numpy>=1.24")

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))


def say(text):
    print(text, file=sys.stderr, flush=True)


def command(line, **options):
    """Runs a command whose output is shown only when it fails."""
    result = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            **options)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-15:])
        raise Problem(f"{' '.join(line)}: status {result.returncode}\n{tail}")
    return result.stdout


class Workshop:
    """The work directory and the tools in it."""

    def __init__(self, directory, threads):
        self.directory = os.path.abspath(directory)
        self.threads = threads
        os.makedirs(self.directory, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def python(self):
        """A Python with cmake and numpy, apart from the system's."""
        interpreter = self.path("venv", "bin", "python")
        done = self.path("venv", "complete")
        if not os.path.exists(done):
            say("compare: making a Python environment with " + ", ".join(PYTHON_PACKAGES))
            command([sys.executable, "-m", "venv", self.path("venv")])
            command([interpreter, "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES])
            open(done, "w").close()
        return interpreter

    def llama_source(self):
        """llama.cpp's source, checked against the hash above, from PyPI through pip."""
        source = self.path(f"{PACKAGE.replace('-', '_')}-{VERSION}", "vendor", "llama.cpp")
        if os.path.isdir(source):
            return source
        archive = self.path(f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz")
        if not os.path.exists(archive):
            say(f"compare: downloading {PACKAGE} {VERSION}")
            command([self.python(), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                     PACKAGE, "--dest", self.directory, f"{PACKAGE}=={VERSION}"])
        found = sha256(archive)
        if found != PACKAGE_SHA256:
            raise Problem(f"{archive}: its SHA-256 is {found}, not {PACKAGE_SHA256}; remove it")
        unpacked = self.path("unpacking")
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as file:
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            file.extractall(unpacked, **safe)
        name = os.path.basename(archive)[:-len(".tar.gz")]
        os.rename(os.path.join(unpacked, name), self.path(name))
        return source

    def llama_build(self):
        """A native release build of the library alone."""
        build = self.path("llama-build")
        if not os.path.exists(os.path.join(build, "bin", "libllama.so")):
            source = self.llama_source()
            cmake = os.path.join(os.path.dirname(self.python()), "cmake")
            say("compare: building llama.cpp, which takes ten minutes on two cores")
            command([cmake, "-S", source, "-B", build, *CMAKE_OPTIONS])
            command([cmake, "--build", build, "--target", "llama", "-j", str(self.threads)])
        return build

    def driver(self, build):
        """The program that feeds ids to llama.cpp; `build` has bin/libllama.so."""
        source = self.llama_source()
        libraries = os.path.join(os.path.abspath(build), "bin")
        if not os.path.exists(os.path.join(libraries, "libllama.so")):
            raise Problem(f"{build}: there is no bin/libllama.so in it")
        return self.compiled(
            "llama-driver", [os.path.join(HERE, "llama_driver.c")],
            ["-I", os.path.join(source, "include"), "-I", os.path.join(source, "ggml", "include"),
             "-L", libraries, f"-Wl,-rpath,{libraries}", "-lllama", "-lggml", "-lggml-base"])

    def probe(self):
        peaks = os.path.join(REPOSITORY, "Benchmarks", "Sources", "CPeaks")
        return self.compiled(
            "probe", [os.path.join(HERE, "probe.c"), os.path.join(peaks, "peaks.c")],
            ["-pthread", "-I", os.path.join(peaks, "include")])

    def compiled(self, name, sources, options):
        """A C program, compiled again when a source or an option changes."""
        key = hashlib.sha256(" ".join(options).encode())
        for source in sources:
            key.update(sha256(source).encode())
        output = self.path(f"{name}-{key.hexdigest()[:12]}")
        if not os.path.exists(output):
            compiler = os.environ.get("CC", "cc")
            command([compiler, "-O2", "-std=gnu11", *sources, *options, "-o", output + ".partial"])
            os.replace(output + ".partial", output)
        return output

    def compiler(self):
        return command([os.environ.get("CC", "cc"), "--version"]).splitlines()[0]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
