"""Git repositories for source actions."""
import os
import subprocess


class Git:
    """A bare repository under the emulator's git root, and a clone to commit in."""

    def __init__(self, place, name="app"):
        self.place, self.work, self.bare = place, place.path(f"work-{name}"), place.path("git", f"{name}.git")
        os.makedirs(os.path.dirname(self.bare), exist_ok=True)
        subprocess.run(["git", "init", "-q", "--bare", self.bare], check=True)
        subprocess.run(["git", "init", "-q", self.work], check=True)

    def git(self, *words):
        names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                 for what, value in (("NAME", "A"), ("EMAIL", "a@example.com"))}
        env = dict(self.place.env, GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_DATE="1700000000 +0100",
                   GIT_COMMITTER_DATE="1700000100 +0000", **names)
        return subprocess.run(["git", "-C", self.work, *words], env=env, check=True, capture_output=True, text=True).stdout

    def commit(self, files, message, branch="main"):
        """Commits and pushes; a value is text, (text, mode), or a link's target in a list. Answers the commit."""
        for name, value in files.items():
            path = os.path.join(self.work, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(value, list):
                os.symlink(value[0], path)
                continue
            text, mode = value if isinstance(value, tuple) else (value, 0o644)
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, mode)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        self.git("push", "-q", self.bare, f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD").strip()
