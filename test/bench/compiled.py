"""compiled.py: a model as C code, each tree as nested ifs, compiled: as TL2cgen does.

margin(const Entry *) of the library adds the leaves in libxgboost's order, so its bits can be
compared.  Compiling takes long; the library stays beside the model.
"""
import concurrent.futures
import json
import os
import subprocess

import numpy as np

UNITS = 32                      # files to compile, as TL2cgen's parallel_comp

HEAD = """/* Written by compiled.py.  A missing value has all bits set. */
typedef union Entry
{
	int			missing;
	float		fvalue;
} Entry;

"""


def literal(value):
    """A float32 of C, exactly."""
    return float(np.float32(value)).hex() + "f"


def nested_ifs(tree, node, indent):
    """The code that adds the leaf a row gets to."""
    left, right = tree["left_children"][node], tree["right_children"][node]
    if left == -1:
        return f"{indent}sum += {literal(tree['split_conditions'][node])};\n"
    entry, condition = f"data[{tree['split_indices'][node]}]", literal(tree["split_conditions"][node])
    test = (f"{entry}.missing == -1 || {entry}.fvalue < {condition}" if tree["default_left"][node]
            else f"{entry}.missing != -1 && {entry}.fvalue < {condition}")
    return (f"{indent}if ({test})\n{indent}{{\n{nested_ifs(tree, left, indent + '	')}{indent}}}\n"
            f"{indent}else\n{indent}{{\n{nested_ifs(tree, right, indent + '	')}{indent}}}\n")


def write_units(model, folder):
    """The C files: trees in their order, and margin(), which calls one after the other."""
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    score = np.float32(model["learner"]["learner_model_param"]["base_score"])
    base = -np.log(np.float32(1) / score - np.float32(1))      # of binary:logistic
    size = -(-len(trees) // UNITS)
    units = [trees[at:at + size] for at in range(0, len(trees), size)]
    paths = [os.path.join(folder, f"unit{i}.c") for i in range(len(units) + 1)]
    for i, unit in enumerate(units):
        with open(paths[i], "w", encoding="ascii") as file:
            file.write(f"{HEAD}float\nunit{i}(const Entry *data, float sum)\n{{\n")
            file.writelines(nested_ifs(tree, 0, "\t") for tree in unit)
            file.write("\treturn sum;\n}\n")
    with open(paths[-1], "w", encoding="ascii") as file:
        file.write(HEAD)
        file.writelines(f"float unit{i}(const Entry *data, float sum);\n" for i in range(len(units)))
        file.write(f"\nfloat\nmargin(const Entry *data)\n{{\n\tfloat sum = {literal(base)};\n\n")
        file.writelines(f"\tsum = unit{i}(data, sum);\n" for i in range(len(units)))
        file.write("\treturn sum;\n}\n")
    return paths


def library(path, folder):
    """The shared library of a model in JSON; `folder` is for the code."""
    made = os.path.abspath(path.removesuffix(".json") + ".so")
    if os.path.exists(made) and os.path.getmtime(made) > os.path.getmtime(path):
        return made
    with open(path, encoding="utf-8") as file:
        units = write_units(json.load(file), folder)
    compiler = os.environ.get("CC", "gcc")
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for run in [pool.submit(subprocess.run, [compiler, "-O3", "-fPIC", "-c", unit, "-o", unit + ".o"],
                                check=True) for unit in units]:
            run.result()
    subprocess.run([compiler, "-shared", "-o", made + ".new", *(unit + ".o" for unit in units)], check=True)
    os.replace(made + ".new", made)
    return made
