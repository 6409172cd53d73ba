"""Chat templates in the style of well-known families, as short as the style allows."""

LLAMA3 = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
  {%- set system = messages[0].content | trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system = '' %}{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutoff: December 2023\\nToday: ' }}
{{- strftime_now('%d %b %Y') + '\\n\\n' + system + '<|eot_id|>' }}
{%- for m in messages %}
  {%- if m.tool_calls %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n{"name": "' }}
    {{- m.tool_calls[0].function.name + '", "parameters": ' }}
    {{- m.tool_calls[0].function.arguments | tojson }}{{- '}<|eot_id|>' }}
  {%- else %}
    {{- '<|start_header_id|>' + ('ipython' if m.role == 'tool' else m.role) }}
    {{- '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""

# Has a default system prompt; tool calls and tool responses stand in tags.
CHATML = """\
{%- if messages[0].role != 'system' %}
  {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for m in messages %}
  {{- '<|im_start|>' + ('user' if m.role == 'tool' else m.role) + '\\n' }}
  {%- if m.role == 'tool' %}{{- '<tool_response>\\n' + m.content + '\\n</tool_response>' }}
  {%- elif m.content %}{{- m.content }}{%- endif %}
  {%- for call in m.tool_calls or [] %}
    {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
    {{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
  {%- endfor %}
  {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# Removes the reasoning from earlier turns and puts that of the last turn in tags.
CHATML_THINKING = """\
{%- for m in messages %}
  {%- set content = m.content %}{%- set reasoning = '' %}
  {%- if m.role == 'assistant' and '</think>' in content %}
    {%- set reasoning = content.split('</think>')[0].split('<think>')[-1].strip() %}
    {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
  {%- endif %}
  {{- '<|im_start|>' + m.role + '\\n' }}
  {%- if loop.last and reasoning %}{{- '<think>\\n' + reasoning + '\\n</think>\\n\\n' }}{%- endif %}
  {{- content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# Has no system role: the system prompt joins the first user turn; the assistant is called model.
GEMMA = """\
{{- bos_token }}
{%- set prefix = '' %}
{%- if messages[0].role == 'system' %}
  {%- set prefix = messages[0].content + '\\n\\n' %}{%- set messages = messages[1:] %}
{%- endif %}
{%- for m in messages %}
  {{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}
  {{- (prefix if loop.first else '') + m.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}"""

# Adds the system prompt to the LAST user turn; ids of tool calls must have nine characters.
MISTRAL = """\
{%- if messages[0].role == 'system' %}
  {%- set system = messages[0].content %}{%- set turns = messages[1:] %}
{%- else %}{%- set system = '' %}{%- set turns = messages %}{%- endif %}
{{- bos_token }}
{%- for m in turns %}
  {%- if m.role == 'user' %}
    {{- '[INST] ' + (system + '\\n\\n' if system and loop.last else '') + m.content + '[/INST]' }}
  {%- elif m.tool_calls %}
    {%- if m.tool_calls[0].id | length != 9 %}{{- raise_exception('nine characters') }}{%- endif %}
    {{- '[TOOL_CALLS] ' + m.tool_calls[0] | tojson + eos_token }}
  {%- elif m.role == 'tool' %}{{- '[TOOL_RESULTS] ' + m.content + '[/TOOL_RESULTS]' }}
  {%- elif m.role == 'assistant' %}{{- ' ' + m.content | trim + eos_token }}
  {%- else %}{{- raise_exception('Only user, assistant and tool roles are supported') }}{%- endif %}
{%- endfor %}"""

# Drops the reasoning of an assistant's turn and everything before it.
DEEPSEEK = """\
{{- bos_token }}
{%- for m in messages %}
  {%- if m.role == 'system' %}{{- m.content }}
  {%- elif m.role == 'user' %}{{- '<｜User｜>' + m.content }}
  {%- else %}{{- '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\\n' }}{%- endif %}"""

PHI = """\
{%- for m in messages %}{{- '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- else %}{{- eos_token }}{%- endif %}"""

LLAMA2 = """\
{%- if messages[0].role == 'system' %}
  {%- set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}
  {%- set turns = messages[1:] %}
{%- else %}{%- set system = '' %}{%- set turns = messages %}{%- endif %}
{%- for m in turns %}
  {%- if m.role == 'user' %}
    {{- bos_token + '[INST] ' + ((system if loop.first else '') + m.content).strip() + ' [/INST]' }}
  {%- else %}{{- ' ' + m.content.strip() + ' ' + eos_token }}{%- endif %}
{%- endfor %}"""

# Accepts only a list of parts as content, as multimodal models do.
PARTS = """\
{%- for m in messages %}
  {{- m.role + ': ' }}
  {%- for part in m.content %}{%- if part.type == 'text' %}{{- part.text }}{%- endif %}{%- endfor %}
  {{- '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}"""

STYLES = {
    "llama3": LLAMA3,
    "chatml": CHATML,
    "chatml-thinking": CHATML_THINKING,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "deepseek": DEEPSEEK,
    "phi": PHI,
    "llama2": LLAMA2,
    "parts": PARTS,
}
