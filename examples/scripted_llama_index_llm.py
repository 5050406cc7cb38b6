"""A stand-in for a function-calling LLM in LlamaIndex, so that an agent runs offline and does the same every time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, NoReturn

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata, MessageRole
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool


class ScriptedLLM(FunctionCallingLLM):
    """Calls the first tool that it is offered with the user's words, then repeats what the tool said."""

    offered: list[list[str]] = Field(default_factory=list, description="Names of tools, for each request.")

    @property
    def metadata(self) -> LLMMetadata:
        """That it calls functions."""
        return LLMMetadata(is_function_calling_model=True, model_name="scripted")

    def _prepare_chat_with_tools(
        self, tools: Sequence[BaseTool], *args: Any, **options: Any
    ) -> dict[str, Any]:
        names = [tool.metadata.get_name() for tool in tools]
        self.offered.append(names)
        return {"messages": options["chat_history"], "tools": names}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **options: Any
    ) -> list[ToolSelection]:
        """The calls in a response."""
        calls: list[ToolSelection] = response.message.additional_kwargs.get("calls", [])
        return calls

    def chat(
        self, messages: Sequence[ChatMessage], tools: Sequence[str] = (), **options: Any
    ) -> ChatResponse:
        """A tool call, or the result of one."""
        last = messages[-1]
        if last.role == MessageRole.TOOL or not tools:
            answer = ChatMessage(role=MessageRole.ASSISTANT, content=last.content)
            return ChatResponse(message=answer)
        call = ToolSelection(tool_id="1", tool_name=tools[0], tool_kwargs={"request": last.content})
        message = ChatMessage(role=MessageRole.ASSISTANT, content="", additional_kwargs={"calls": [call]})
        return ChatResponse(message=message)

    async def achat(self, messages: Sequence[ChatMessage], **options: Any) -> ChatResponse:
        """A tool call, or the result of one."""
        return self.chat(messages, **options)

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **options: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        """A tool call, or the result of one, streamed in one piece."""

        async def stream() -> AsyncGenerator[ChatResponse, None]:
            yield self.chat(messages, **options)

        return stream()

    def _only_chat(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("this LLM only chats, as agents ask it to")

    complete = stream_chat = stream_complete = _only_chat
    acomplete = astream_complete = _only_chat
