# An operation in Python as an image: examples/python-operation with the wheel `jobhook`. From the root of
# the repository:
#
#   ./just wheels
#   docker build --file deploy/python-action.Dockerfile --tag report \
#       --build-context wheels=target/release-wheels examples/python-operation
#
# `jobhook.run()` reports everything itself, so nothing stands in front of it. Once the wheel is
# published, the line with the mount is `RUN pip install --no-cache-dir jobhook`.
FROM python:3.13-slim
RUN --mount=type=bind,from=wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels jobhook
COPY report.py /app/report.py
USER 65532:65532
# Without a buffer, or what is printed is late, and lost if the pod is killed.
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["python3", "/app/report.py"]
