#!/usr/bin/python3
"""The emulator on a disk that fills up: it says so, loses nothing, and goes on once there is room."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR, Place, Program, client, need_mount_namespace, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, skip, story  # noqa: E402


class SmallDisk:
    """An emulator whose data directory lies on a file system that it alone sees."""

    def __init__(self, place, size):
        mount, port_file = place.path("small"), place.path("port")
        os.makedirs(mount)
        script = (f"mount -t tmpfs -o size={size} none {mount} || exit 99; exec {EMULATOR} --listen 127.0.0.1:0 "
                  f"--data-dir {mount}/data --port-file {port_file} --check-answers")
        self.place = place
        self.program = Program(place, "emulator", ["unshare", "-m", "sh", "-c", script])
        place.programs.append(self.program)
        wait_for(lambda: not self.program.alive() or os.path.exists(port_file), what="the emulator")
        if not self.program.alive():
            skip(f"no mount namespace here: {self.program.text()}")
        with open(port_file) as f:
            self.endpoint = f"http://127.0.0.1:{int(f.read())}"
        self.mount = f"/proc/{self.program.process.pid}/root{mount}"

    def client(self, service):
        return client(self.place, service, self.endpoint)

    def free(self):
        fs = os.statvfs(self.mount)
        return fs.f_bavail * fs.f_frsize

    def fill(self):
        """Something else takes all that is left."""
        with open(os.path.join(self.mount, "other"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    def unfill(self):
        os.unlink(os.path.join(self.mount, "other"))


def fill_with_objects(s3):
    """Puts objects until one is refused; answers how many are there."""
    for count in range(1000):
        try:
            s3.put_object(Bucket="bucket", Key=str(count), Body=bytes(1 << 20))
        except s3.exceptions.ClientError as e:
            equal(e.response["Error"]["Code"], "InternalError", "code")
            check("no space left" in e.response["Error"]["Message"], e.response["Error"]["Message"])
            return count
    raise AssertionError("the disk never filled")


@story
def objects_leave_room_for_what_makes_room():
    with Place() as place:
        disk = SmallDisk(place, "40m")
        s3, cp = disk.client("s3"), disk.client("codepipeline")
        s3.create_bucket(Bucket="bucket")
        count = fill_with_objects(s3)
        check(10 < count < 30, f"{count} MiB of 40 taken")
        check(disk.free() > 8 << 20, f"{disk.free()} bytes left")

        # Neither parts nor copies get around it, and nothing of what was refused stays.
        before = disk.free()
        upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
        raises("InternalError", s3.upload_part, Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1,
               Body=bytes(6 << 20))
        raises("InternalError", s3.copy_object, Bucket="bucket", Key="copy", CopySource="bucket/0")
        raises("InternalError", s3.put_object, Bucket="bucket", Key="large", Body=bytes(30 << 20))
        check(disk.free() > before - (2 << 20), f"{before - disk.free()} bytes lost")

        # The API goes on, and whoever deletes can write again.
        cp.create_custom_action_type(category="Build", provider="Make", version="1",
                                     inputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
                                     outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})
        for key in range(count):
            s3.delete_object(Bucket="bucket", Key=str(key))
        s3.put_object(Bucket="bucket", Key="again", Body=bytes(5 << 20))
        equal(disk.program.stop(), 0, "exit code")


@story
def a_disk_that_others_filled_is_told_and_waited_for():
    with Place() as place:
        disk = SmallDisk(place, "40m")
        s3, cp = disk.client("s3"), disk.client("codepipeline")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="k", Body=b"here")
        disk.fill()
        message = ""
        for number in range(200):  # until the log of the database wants to grow
            try:
                s3.create_bucket(Bucket=f"bucket-{number}")
            except s3.exceptions.ClientError as e:
                message = e.response["Error"]["Message"]
                break
        check("no space left" in message, f"said {message!r}")
        equal(s3.get_object(Bucket="bucket", Key="k")["Body"].read(), b"here")
        equal(cp.list_pipelines()["pipelines"], [])
        disk.unfill()
        s3.put_object(Bucket="bucket", Key="k", Body=b"there")
        equal(s3.get_object(Bucket="bucket", Key="k")["Body"].read(), b"there")
        equal(disk.program.stop(), 0, "exit code")


@story
def a_start_on_a_full_disk_says_so():
    need_mount_namespace()
    with Place() as place:
        place.emulator().stop()
        os.makedirs(place.path("small"))
        for data in ("data", "new"):  # what was there before, and a directory that is yet to be made
            script = (f"mount -t tmpfs -o size=2m none {place.path('small')} || exit 99; cd {place.path('small')}; "
                      f"cp -a {place.path('data')} data; cat /dev/zero >other 2>&1; "
                      f"exec {EMULATOR} --listen 127.0.0.1:0 --data-dir {data}")
            program = Program(place, f"on-{data}", ["unshare", "-m", "sh", "-c", script])
            place.programs.append(program)
            equal(program.wait(60), 1, "exit code")
            check("disk is full" in program.text() or "No space left" in program.text(), program.text())


if __name__ == "__main__":
    run()
