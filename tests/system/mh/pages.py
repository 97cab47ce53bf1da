"""Code blocks of the documentation, so that stories can do what the pages say.

    page = Page("docs", "try-pipelines.md")
    page.named("pipeline.json")     the block that follows a line "`pipeline.json`:"
    page.blocks("sh")               every other block of that language, in order
"""
import os
import re

from mh.programs import SRC


class Block:
    def __init__(self, name, language, text):
        self.name, self.language, self.text = name, language, text


class Page:
    def __init__(self, *path):
        with open(os.path.join(SRC, *path), encoding="utf-8") as f:
            text = f.read()
        self.all = []
        for match in re.finditer(r"^```([a-z]*)\n(.*?)^```$", text, re.M | re.S):
            before = text[:match.start()].rstrip("\n").rsplit("\n", 1)[-1]
            name = re.search(r"`([^`]+)`[^`]*:$", before)
            self.all.append(Block(name and name.group(1), match.group(1), match.group(2)))

    def named(self, name):
        found = [b.text for b in self.all if b.name == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} blocks named {name}, want one")
        return found[0]

    def blocks(self, language, named=False):
        return [b.text for b in self.all if b.language == language and bool(b.name) == named]
