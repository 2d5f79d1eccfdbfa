"""The model file, its store and the ids of the text: the same for everybody."""
import json
import os
import subprocess

from . import Problem
from .prepare import HERE, command, say
from .rows import TEXT_TOKENS


def model_file(workshop, given, vocabulary):
    """The GGUF: the one given, or one written here."""
    if given:
        return os.path.abspath(given)
    path = workshop.path("qwen3-30b-a3b-synthetic-q4_0.gguf")
    if not os.path.exists(path):
        vocabulary = vocabulary or os.path.join(
            workshop.llama_source(), "models", "ggml-vocab-qwen2.gguf")
        if not os.path.exists(vocabulary):
            raise Problem(f"{vocabulary}: there is no vocabulary; give one with --vocab FILE.gguf")
        say("compare: writing the model, 17.2 GB")
        command([workshop.python(), os.path.join(HERE, "synthetic.py"), path,
                 "--vocabulary", vocabulary])
    return path


def store(workshop, given, flashmoe, model):
    if given:
        return os.path.abspath(given)
    path = workshop.path(os.path.splitext(os.path.basename(model))[0] + ".fmoe")
    if not os.path.isdir(path):
        say("compare: packing the model")
        command([flashmoe, "pack", model, "-o", path])
    return path


def facts(flashmoe, store_path, budget):
    """What the store is, and the bytes that a token touches, from flashmoe itself."""
    info = json.loads(command([flashmoe, "info", store_path, "--json"]))
    plan = json.loads(subprocess.run(
        [flashmoe, "plan", store_path, "--ram", str(budget), "--no-probe", "--json"],
        stdout=subprocess.PIPE, text=True).stdout)
    if "error" in plan:
        raise Problem(f"{store_path}: {plan['error']['problem']}")
    embedding = info["vocabulary"] * info["hidden_size"]
    return {
        "name": info["name"], "layers": info["layers"], "experts": info["experts"],
        "top_k": info["experts_per_token"], "record_bytes": info["record_bytes"],
        "records": info["records"], "parameters": info["parameters"],
        "schemes": f"experts {info['expert_schemes']}, residents {info['resident_schemes']}",
        "bytes": info["resident_bytes"] + info["expert_bytes"],
        "touched_bytes": plan["resident_bytes_per_token"] + plan["routed_bytes_per_token"],
        # Weights that are multiplied for each token of a prompt: the head only for the last.
        "multiplied": info["active_parameters"] - (1 if info["tied_embeddings"] else 2) * embedding,
        "head": embedding,
    }


def layer_files(store_path):
    """The store's record files, which are what the disk is measured with."""
    directory = os.path.join(store_path, "experts")
    files = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    if not files:
        raise Problem(f"{directory}: there are no record files")
    return files


def text_ids(workshop, driver, flashmoe, store_path, model, text):
    """A file with the text's ids by llama.cpp, after a check that ours gives the same ones.

    `bench` reads the text itself, so equality is what makes both feed the same tokens.
    """
    path = workshop.path("ids.txt")
    source = os.path.join(workshop.directory, "ids-of.json")
    wanted = {"text": os.path.abspath(text), "bytes": os.path.getsize(text), "model": model}
    if os.path.exists(path) and os.path.exists(source):
        with open(source) as file:
            if json.load(file) == wanted:
                return path
    ids = command([driver, model, "--tokenize", text]).split()
    if len(ids) < TEXT_TOKENS:
        raise Problem(f"{text}: it has {len(ids)} tokens; {TEXT_TOKENS} are needed")
    with open(text, encoding="utf-8") as file:
        start = file.read(2000).rsplit(None, 1)[0]
    answer = subprocess.run(
        [flashmoe, "run", store_path, "-p", start, "-n", "0", "--ctx", "1024", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if answer.returncode != 0:
        raise Problem(f"flashmoe run: {answer.stderr.strip()}")
    ours = json.loads(answer.stdout)["prompt_ids"]
    # The cut may split what is one token in the whole text, so the last ones are left out.
    if [str(token) for token in ours[:-4]] != ids[:len(ours) - 4]:
        raise Problem(f"{text}: the two programs give it different token ids")
    with open(path, "w") as file:
        file.write("\n".join(ids) + "\n")
    with open(source, "w") as file:
        json.dump(wanted, file)
    return path
