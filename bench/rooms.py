"""Count the rooms, floors and arrows of a checkout by its own imports, and its longest parameter lists.

    python bench/rooms.py [CHECKOUT]

A room is what stands directly in runtime/ or cli/, a file or a folder, and the exporter. An arrow is a pair of rooms where
one imports the other, imports for type checkers included. Floors are the rooms on the longest way down, where a circle of
rooms counts as one. Nothing of the checkout is run, so that two revisions can be compared from two work trees.
"""

import ast
from collections import defaultdict
from pathlib import Path

import click

TOPS = ("runtime", "cli", "exporter")


@click.command(help=__doc__)
@click.argument("checkout", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(checkout: Path) -> None:
    files = {name: path for top in TOPS for path in (checkout / top).rglob("*.py") if (name := module_of(path, checkout))}
    modules = {name: imports(path, name, files) for name, path in files.items()}
    arrows: defaultdict[str, set[str]] = defaultdict(set)
    for name, targets in modules.items():
        arrows[room(name)] |= {room(target) for target in targets} - {room(name)}
    circles = [group for group in groups(arrows) if len(group) > 1]
    print(f"files {len(files)}, imports between them {sum(map(len, modules.values()))}")
    print(f"rooms {len(arrows)}, floors {floors(arrows)}, arrows {sum(map(len, arrows.values()))}, circles {len(circles)}")
    for circle in circles:
        print(f"  circle: {', '.join(sorted(circle))}")
    print("longest parameter lists:")
    found = [row for name, path in files.items() for row in parameters(path, name)]
    for count, where in sorted(found, reverse=True)[:10]:
        print(f"  {count:2} {where}")


def module_of(path: Path, checkout: Path) -> str:
    parts = path.relative_to(checkout).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] == "exporter" else ".".join(parts[:2])


def imports(path: Path, name: str, files: dict[str, Path]) -> set[str]:
    """The modules that a module imports, of those that there are."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *((node.module or "").split(".") if node.module else [])]
            for alias in node.names:
                names = ".".join([*base, alias.name]), ".".join(base)
                found |= {next((candidate for candidate in names if candidate in files), "")}
    return found - {"", name}


def groups(arrows: dict[str, set[str]]) -> list[set[str]]:
    """The circles, and each room that is in none by itself."""
    reach = {start: reachable(start, arrows) for start in list(arrows)}
    found: list[set[str]] = []
    for start in arrows:
        if not any(start in group for group in found):
            found.append({start} | {other for other in reach[start] if start in reach.get(other, set())})
    return found


def reachable(start: str, arrows: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(arrows.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += arrows.get(name, ())
    return seen


def floors(arrows: dict[str, set[str]]) -> int:
    merged = groups(arrows)
    of = {name: index for index, group in enumerate(merged) for name in group}
    below = {
        index: {of[target] for name in group for target in arrows.get(name, ()) if target in of} - {index}
        for index, group in enumerate(merged)
    }
    heights: dict[int, int] = {}

    def height(index: int) -> int:
        if index not in heights:
            heights[index] = 1 + max(map(height, below[index]), default=0)
        return heights[index]

    return max(map(height, below))


def parameters(path: Path, name: str) -> list[tuple[int, str]]:
    """Functions of a module by the number of their parameters, without ``self`` and ``cls``; commands of click left out."""
    rows = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    owners = {child: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for child in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and "click" not in "".join(map(ast.dump, node.decorator_list)):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            given += [extra for extra in (node.args.vararg, node.args.kwarg) if extra is not None]
            count = sum(argument.arg not in ("self", "cls") for argument in given)
            rows.append((count, f"{name}:{owners[node] + '.' if node in owners else ''}{node.name}"))
    return rows


if __name__ == "__main__":
    main()
